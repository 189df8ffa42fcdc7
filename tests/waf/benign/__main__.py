"""What the Core Rule Set at paranoia 1 blocks of the benign corpus: `python -m tests.waf.benign [ours | oracle]`."""

from __future__ import annotations

import sys
from collections import Counter

from .. import engines
from ..crs.ruleset import paranoia, sources
from ..shared import crs_v4
from .corpus import corpus

BLOCKED = 949110  # the score reached the threshold, 5
REPORTS = {BLOCKED, 980170}

if __name__ == "__main__":
    start = engines.oracle if "oracle" in sys.argv[1:] else engines.ours
    engine = start(sources(crs_v4(), paranoia(1)))
    rules: Counter[int] = Counter()
    count = 0
    for benign in corpus():
        fired = engine(benign.request)
        if BLOCKED in fired:
            count += 1
            rules.update(fired - REPORTS)
            print(benign.name, *sorted(fired - REPORTS))
    print(f"\n{count} of {len(corpus())} blocked, {100 * count / len(corpus()):.1f} %")
    print(*(f"{rule} x {times}" for rule, times in rules.most_common()), sep="\n")
