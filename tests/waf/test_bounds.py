"""What a transaction may cost, whatever the request: memory, time, and nothing that is left for the next."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ratelimitd._ext.waf.probe import Program

from ratelimitd.waf.program import Change, Link, Operator, Selector, SetVariable, Variable
from ratelimitd.waf.program import Program as Rules
from ratelimitd.waf.transformation import Transformation

FIELDS = (
    Variable.ARGS,
    Variable.ARGS_NAMES,
    Variable.REQUEST_HEADERS,
    Variable.REQUEST_COOKIES,
    Variable.FILES,
    Variable.RAW_PATH,
    Variable.RAW_BODY,
    Variable.XML_TEXT,
)
TYPES = [
    b"application/json",
    b"multipart/form-data; boundary=XbX",
    b"application/x-www-form-urlencoded",
    b"text/xml",
    b"text/plain",
    b"",
]
BODIES = [
    b'{"a": {"b": "\\u0041", "c": [1, true, {}]}, "d": "x"}',
    b'--XbX\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\nEVIL\r\n--XbX--\r\n',
    b"a=1&b=%41+&c=%u0041&d",
    b"<a b='EVIL'>x<c/></a>",
]
WORDS = [b"EVIL", b"x1y", b"%45", b"+", b"&", b"=", b"\\u0041", b"<!--", b"a", b"\x00", b"\xc3\xa9", b";"]


def rules(chains: list[tuple[Transformation, ...]]) -> Rules:
    """For each chain a rule that is scanned for and one that is evaluated in its turn; matches are counted in TX."""
    counted = (SetVariable(Variable.TX, (b"seen",), Change.ADD, (b"1",)),)
    selectors = tuple(Selector(variable) for variable in FIELDS)
    links = []
    for number, chain in enumerate(chains, 1):
        pattern = b"EVIL|x[0-9]+y" if number % 2 else b"(?:A|B)C+D"
        links.append(Link(number, 2, selectors, Operator.RX, False, (pattern,), (), chain, sets=counted))
        word = Link(1000 + number, 2, selectors, Operator.CONTAINS_WORD, False, (b"EVIL",), (), chain)
        links.append(word)
    return Rules(tuple(links))


def make_request(rng: random.Random) -> dict[str, Any]:
    body = bytearray(rng.choice(BODIES))
    for _ in range(rng.randrange(5)):
        body[rng.randrange(len(body))] = rng.choice(b'{}[]",:\\\r\n-Xb%&=+;<>\x00\xff')

    def text() -> bytes:
        return b"".join(rng.choices(WORDS, k=rng.randrange(6)))

    return {
        "method": b"POST",
        "path": b"/" + text() + b"?" + b"&".join(text() for _ in range(3)),
        "headers": [(b"content-type", rng.choice(TYPES)), (b"cookie", text()), (b"x-a", text())],
        "body": bytes(body[: rng.randrange(len(body) + 1)]),
    }


KINDS = list(Transformation)
CHAINS = [(kind,) for kind in KINDS] + [tuple(KINDS[i : i + 6]) for i in range(12)]


def test_steady_state_allocates_nothing() -> None:
    """But for XML, whose reader is a library's."""
    program = Program(rules(CHAINS[:8]))
    for kind, body in zip(TYPES, BODIES, strict=False):
        request = {
            "method": b"POST",
            "path": b"/?" + b"&".join(b"A%d=%%41+x%dy" % (i, i) for i in range(50)),
            "headers": [(b"x-%d" % i, b"A  b" * i) for i in range(30)] + [(b"content-type", kind)],
            "body": body + b" " * 10_000,
        }
        if kind != b"text/xml":
            assert program.heap_growth(request, 50) == 0


def heavy(size: int) -> dict[str, Any]:
    """A body whose transformations take some megabytes."""
    body = b"&".join(b"a%d=%%41+x%%25%dy<B>" % (i, i) * 20 for i in range(size // 300))[:size]
    kind = (b"content-type", b"application/x-www-form-urlencoded")
    return {"method": b"POST", "path": b"/", "headers": [kind], "body": body}


def test_large_bodies_allocate_nothing_while_they_come() -> None:
    """A worker keeps what its recent requests have needed, also when few of them are large."""
    program = Program(rules(CHAINS))
    large, small = heavy(100_000), heavy(300)
    program.run(large)
    held, taken = program.arena()
    assert held > 2 << 20
    for i in range(500):
        program.run(large if i % 100 == 0 else small)
    assert program.arena() == (held, taken)


def test_memory_goes_back_when_nobody_needs_it() -> None:
    program = Program(rules(CHAINS))
    program.run(heavy(100_000))
    for _ in range(5000):
        program.run(heavy(300))
    assert program.arena()[0] <= 1 << 20


def test_memory_that_is_kept_has_a_bound() -> None:
    program = Program(rules(CHAINS))
    program.run(heavy(1 << 20), 1 << 20)
    assert program.arena()[0] > 32 << 20
    program.run(heavy(300))
    assert program.arena()[0] <= 32 << 20


def test_one_scratch_runs_many_requests_alike() -> None:
    """What a request left behind (strings seen, variables, memory) never shows in a later one."""
    rng = random.Random(4)
    made = rules(CHAINS[:10])
    program = Program(made)
    requests = [make_request(rng) for _ in range(40)]
    alone = [Program(made).run(request) for request in requests]
    for _ in range(3):
        order = rng.sample(range(len(requests)), len(requests))
        assert [program.run(requests[i]) for i in order] == [alone[i] for i in order]


def test_mutated_requests_stay_within_bounds() -> None:
    rng = random.Random(8)
    program = Program(rules(CHAINS[::3]))
    for _ in range(1500):
        request = make_request(rng)
        found = program.run(request, rng.choice([10, 131072]))
        assert found["bytes_inspected"] <= len(request["body"])


HOSTILE = [b"/", b"/*", b"*/", b"&", b"&#", b"&lt", b"%", b"%u00", b"\\", b"\\u00", b"../", b"a../", b"--", b"<!--"]
HOSTILE += [b" ", b"\xc0\xaf", b"[", b"\n--X", b"{", b'{"a":', b"<a>", b"=&", b"\n--XbX\r\n\r\n"]


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_is_bounded_by_the_body(piece: bytes) -> None:
    """128 KiB of what readers stumble over, under every transformation and long chains, in a fraction of a second."""
    program = Program(rules(CHAINS))
    body = (piece * 131072)[:131072]
    for kind in (b"multipart/form-data; boundary=XbX", b"application/json"):
        request = {"method": b"POST", "path": b"/", "headers": [(b"content-type", kind)], "body": body}
        assert program.time(request, 1, 131072) < 4.0  # sanitizers are slow
