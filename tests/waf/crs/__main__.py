"""Shows stages, what they expect and what engines say: `python -m tests.waf.crs 920100-4 942100-1`.

With the name of a rule (`920100`) all of its stages; without names, only the counts.
"""

from __future__ import annotations

import sys
from collections import Counter

from _pytest.outcomes import Skipped

from .. import engines
from ..message import Engine
from ..shared import crs_v4
from .ruleset import SUITE, sources
from .stages import Stage, load


def available() -> dict[str, Engine]:
    found = {}
    for name, start in (("ours", engines.ours), ("oracle", engines.oracle)):
        try:
            found[name] = start(sources(crs_v4(), SUITE))
        except Skipped as skipped:
            print(f"{name}: {skipped.msg}")
    return found


def show(stage: Stage, having: dict[str, Engine]) -> None:
    request = stage.request
    print(f"\n{stage.name} ({stage.kind}) {stage.about}")
    print(f"  expects {sorted(stage.expected)}, not {sorted(stage.unexpected)}")
    print(f"  {request.method} {request.uri!r} {request.version}")
    for name, value in request.headers:
        print(f"  {name.decode(errors='replace')}: {value!r}")
    if request.body:
        print(f"  {request.body!r}")
    if stage.response:
        print(f"  answer {stage.response.status} {stage.response.headers} {stage.response.body!r}")
    for name, engine in having.items():
        fired = engine(request, stage.response)
        print(f"  {name}: {stage.faults(fired) or 'passes'}; logged {sorted(fired)}")


if __name__ == "__main__":
    stages = load(crs_v4() / "tests")
    print(dict(Counter(stage.kind for stage in stages)))
    if names := set(sys.argv[1:]):
        having = available()
        for stage in stages:
            if {stage.name, str(stage.rule)} & names:
                show(stage, having)
