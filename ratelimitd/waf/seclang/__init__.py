"""SecLang, ModSecurity's rule language: `.conf` files to a typed tree (`tree.py`), and back to text (`render.py`).

We parse it ourselves. Of the maintained parsers on PyPI, msc-pyparser 1.2.2 is under GPLv3, which rules it out for us;
it raises at the first error and takes any word for a transformation or a value. secrules-parsing 0.4.2 (Apache-2.0)
needs 3 s for the Core Rule Set v4, stops at the first error of a file, and refuses every directive but nine and so
both `crs-setup.conf`. Both take text, not bytes. docs/waf.md has the comparison.
"""

from ratelimitd.waf.seclang.load import load, parse

__all__ = ["load", "parse"]
