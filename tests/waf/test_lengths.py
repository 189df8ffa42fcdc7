"""A match is found wherever it lies: pattern libraries handle the last bytes of a text, and long repeats, on paths of
their own."""

from __future__ import annotations

import pytest
from ratelimitd._ext.waf.probe import Program

from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

# Pattern, what matches it.
PATTERNS = (
    (r"[^\x21-\x7E][\x21-\x39\x3B-\x7E]*:", b" %64%65%6c%61y:"),
    (r"[^;]+x", b"ax"),
    (r"(?i)union\s+select", b"Union  Select"),
    (r"^[a-z ]*<script", b"<script"),
    (r"'[^']*'=", b"'a b'="),
)


@pytest.mark.parametrize(("pattern", "text"), PATTERNS)
@pytest.mark.parametrize("filler", [b"f", b";", b" a:"])
def test_every_place(pattern: str, text: bytes, filler: bytes) -> None:
    # A body that nothing else reads is one value; the second rule, in a chain, asks PCRE2 for the same value.
    rules = f"""
    SecRequestBodyAccess On
    SecRule REQUEST_BODY "@rx {pattern}" "id:1,phase:2,pass,t:none"
    SecRule REQUEST_BODY "@unconditionalMatch" "id:2,phase:2,pass,t:none,chain"
        SecRule REQUEST_BODY "@rx {pattern}" "t:none"
    """
    program = Program(compile_rules(parse(rules.encode())))
    for before in range(150):
        for after in (0, 1, 17, 40):
            body = (filler * 150)[:before] + text + (filler * 14)[:after]
            fired = program.run({"method": b"POST", "path": b"/", "headers": [], "body": body}, detect=True)["fired"]
            assert [f["rule"] for f in fired] in ([1, 2], []), (before, after)
            assert fired or filler != b"f", (before, after)


REPEATS = (
    (r"\$(?:\{|&l)[^}]*\$(?:\{|&l)", b"$&l&", b"${"),
    (
        r"(?i)(?:\$|&dollar;?)(?:\{|&l(?:brace|cub);?)(?:[^\}]*(?:\$|&dollar;?)(?:\{|&l(?:brace|cub);?)|jndi)",
        b"$&lbrace",
        b"${",
    ),
    (r"(?i)(?:\$|&dollar;?)(?:\{|&l(?:brace|cub);?)", b"%&$$/ac& ", b"& %${"),
)


@pytest.mark.parametrize(("pattern", "start", "end"), REPEATS)
@pytest.mark.parametrize("filler", [b"x", b"& ", b"$a%"])
def test_every_gap(pattern: str, start: bytes, end: bytes, filler: bytes) -> None:
    """Vectorscan's code for AVX2 misses some of these."""
    program = Program(compile_rules(parse(f'SecRule REQUEST_BODY "@rx {pattern}" "id:1,phase:2,pass,t:none"'.encode())))
    for gap in range(120):
        body = start + (filler * gap)[:gap] + end
        fired = program.run({"method": b"POST", "path": b"/", "headers": [], "body": body}, detect=True)["fired"]
        assert [f["rule"] for f in fired] == [1], gap
