"""Seeded traffic between benign and hostile: requests mutated, payloads moved and rewritten, bodies broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from urllib.parse import unquote_to_bytes

from .message import Request, headers
from .mutators.bodies import BODIES
from .mutators.evade import EVASIONS
from .mutators.fields import FIELDS
from .mutators.place import PLACES

PLAIN = Request(
    "GET",
    b"/shop",
    headers([("Host", "shop.example.com"), ("User-Agent", "Mozilla/5.0 (X11; Linux)"), ("Accept", "*/*")]),
)
# A grammar's worth of what payloads are made of, for texts that nobody wrote.
PARTS = r"""
' or 1 union select from -- /* */ ; | & && || ` $( ) { } < > <script > alert(1) onerror= javascript: ../ /etc/passwd
cat ls whoami ping %00 %0a \x3c &#x3c; <?php eval( system( ${jndi:ldap: {{7*7}} #{ %{ http:// file:// 127.0.0.1
sleep(5) 0x41 = " \ a 1 x
"""
TOKENS = PARTS.split()


@dataclass(frozen=True)
class Mutant:
    """`name` tells how it came about: where from, then each step."""

    name: str
    request: Request


def payloads(request: Request) -> list[bytes]:
    """The values of a request that are worth moving about: of its query, and of a form."""
    found = [pair.partition(b"=")[2] for pair in request.uri.partition(b"?")[2].split(b"&")]
    found += [pair.partition(b"=")[2] for pair in request.body[:4000].split(b"&")]
    decoded = [unquote_to_bytes(value.replace(b"+", b" ")) for value in found if value]
    return [value for value in decoded if len(value) <= 600]


def generated(draw: Random) -> bytes:
    return draw.choice(("", " ")).join(draw.choice(TOKENS) for _ in range(draw.randint(1, 8))).encode()


def mutant(draw: Random, name: str, seed: Request) -> Mutant:
    steps = [name]
    request = seed
    kind = draw.random()
    if kind < 0.6:  # a payload, rewritten, moved
        values = payloads(seed)
        text = draw.choice(values) if values and draw.random() < 0.8 else generated(draw)
        for evasion in draw.sample(EVASIONS, draw.choice((0, 1, 1, 2))):
            text = evasion(draw, text)
            steps.append(evasion.__name__)
        place = draw.choice(PLACES)
        request = place(draw, PLAIN if draw.random() < 0.7 else replace(seed, body=b""), text[:2000])
        steps.append(place.__name__)
    elif kind < 0.75:  # an evasion on the whole of the query or the body
        evasion = draw.choice(EVASIONS)
        steps.append(evasion.__name__)
        if seed.body:
            request = seed.with_body(evasion(draw, seed.body[:4000]))
        else:
            before, mark, after = seed.uri.partition(b"?")
            request = replace(seed, uri=before + mark + evasion(draw, after).translate(None, b" \r\n\x00"))
    if kind >= 0.75 or draw.random() < 0.25:
        for spoil in draw.sample((*BODIES, *FIELDS), draw.choice((1, 1, 2))):
            request = spoil(draw, request)
            steps.append(spoil.__name__)
    return Mutant(" > ".join(steps), request)


def mutants(seed: int, count: int, seeds: Sequence[tuple[str, Request]]) -> Iterator[Mutant]:
    """`count` mutants of named requests; the same ones for the same seed."""
    draw = Random(seed)
    for number in range(count):
        name, request = draw.choice(seeds)
        made = mutant(draw, name, request)
        yield replace(made, name=f"#{number} {made.name}")
