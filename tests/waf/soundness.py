"""A program twice: with the shortcuts of scanning, and without any of them. Both must see the same matches.

Directly, a link transforms each value that it looks at and asks its operator, as the language is defined: neither trie
nor de-duplication, neither lanes, needs and erased bytes nor batching are in the way. What both have in common is
tested in tests/bytes: the byte classes of a single transformation, and libinjection's gates.

Values are compared without regard to ASCII case: they are counted as names of variables, which have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ratelimitd._ext.waf.probe import Program as Probe

from ratelimitd.waf.program import Change, Link, Program, Reference, SetVariable, Variable

from ..databases import compiling
from .engines import asked
from .message import Request
from .mutate import Mutant

SEEN = b"resource.seen."  # no rule reads this collection


def watched(link: Link, index: int) -> Link:
    """The link, counting each target and value that it matches."""
    where = (b"seen.%d." % index, Reference(Variable.MATCHED_VAR_NAME), b"=", Reference(Variable.MATCHED_VAR))
    count = SetVariable(Variable.RESOURCE, where, Change.ADD, (b"1",))
    return replace(link, sets=(*link.sets, count), once=False) if link.selectors else link


@dataclass(frozen=True)
class Seen:
    """What a program made of a request."""

    fired: tuple[tuple[int, bytes, int], ...]  # rule, its last target, score
    matches: Counter[bytes]  # of every link: number, target, value
    verdict: dict[str, Any]


@dataclass(frozen=True)
class Difference:
    name: str
    request: Request
    scanning: Seen
    direct: Seen

    def __str__(self) -> str:
        both = (self.scanning, self.direct)
        only = [f"{(a.matches - b.matches)} {set(a.fired) - set(b.fired)} {a.verdict}" for a, b in (both, both[::-1])]
        request = f"{self.request.method} {self.request.uri!r} {self.request.headers} {self.request.body[:600]!r}"
        return f"{self.name}\n  scanning {only[0]}\n  direct   {only[1]}\n  {request}"


class Pair:
    def __init__(self, program: Program) -> None:
        watching = replace(program, links=tuple(watched(link, i) for i, link in enumerate(program.links)))
        with compiling() as databases:
            self.scanning = Probe(watching, databases)
            self.direct = Probe(watching, databases, direct=True)

    def run(self, probe: Probe, request: Request) -> Seen:
        found = probe.run(asked(request), detect=True)
        assert not found["error"], "a bound was hit: what is behind it was not looked at"
        matches = {name: int(value) for name, value in probe.store().items() if name.startswith(SEEN)}
        return Seen(
            tuple((f["rule"], f["target"], f["score"]) for f in found["fired"]),
            Counter(matches),
            {name: found[name] for name in ("denied", "score", "status", "deciding")},
        )

    def differences(self, mutants: Iterable[Mutant]) -> tuple[list[Difference], int]:
        """Where the two differ, and how many matches there were in all."""
        found, matches = [], 0
        for mutant in mutants:
            scanning, direct = self.run(self.scanning, mutant.request), self.run(self.direct, mutant.request)
            matches += direct.matches.total()
            if scanning != direct:
                found.append(Difference(mutant.name, mutant.request, scanning, direct))
        return found, matches
