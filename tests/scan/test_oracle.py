"""A scan finds exactly what the slow reading finds: lanes, trie, byte classes and strings seen before hide nothing."""

from __future__ import annotations

import random
from typing import Any

import hyperscan
import pytest

from ratelimitd._ext.scan import probe
from ratelimitd.policy.plan import Rule, Target, TargetRef, Transformation

from . import oracle

# Patterns on which re and Hyperscan agree.
PATTERNS = [
    rb"union\s+select",
    rb"<script",
    rb"a/b",
    rb"\.\./",
    rb"(?:x|y)z",
    rb"A",
    rb"^a",
    rb"b\Z",
    rb"\x00",
    rb"[;|]\s*ls",
    rb"%u",
    rb"--",
]
WORDS = [
    *(
        b"union",
        b"select",
        b" ",
        b"  ",
        b"\t",
        b"<script",
        b"<SCRIPT",
        b"a",
        b"/",
        b"b",
        b"../",
        b"./",
        b"//",
        b"xz",
        b"A",
        b"\x00",
    ),
    *(
        b"%75nion",
        b"%2575nion",
        b"+",
        b"&lt;script",
        b"\\x3cscript",
        b"\\u003cscript",
        b"\\3c script",
        b"/**/",
        b"--",
        b"#",
        b"%",
    ),
    *(b"YQ==", b"61", b"\xc3\xa9", b"\xff", b";", b"|", b"l^s", b"ls", b"=", b"yz"),
]
NAMES = [b"id", b"ID", b"password", b"q", b"user-agent", b"cookie", b"referer", b"x-a"]
# Names narrow these targets.
NAMED = [Target.ARGS, Target.ARGS_NAMES, Target.HEADERS, Target.HEADERS_NAMES, Target.COOKIES, Target.COOKIES_NAMES]
PLAIN = [Target.METHOD, Target.PATH, Target.QUERY, Target.HOST]


def make_refs(rng: random.Random) -> tuple[TargetRef, ...]:
    refs = [TargetRef(rng.choice(PLAIN))] if rng.random() < 0.3 else []
    for kind in rng.sample(NAMED, rng.randrange(1, 4)):
        if rng.random() < 0.7:
            refs.append(TargetRef(kind))
        refs += [TargetRef(kind, rng.choice(NAMES).lower(), rng.random() < 0.5) for _ in range(rng.randrange(3))]
    return tuple(refs)


def make_rule(rng: random.Random, index: int) -> Rule:
    patterns = tuple(rng.sample(PATTERNS, rng.randrange(1, 3)))
    chain = tuple(rng.choices(list(Transformation), k=rng.randrange(4)))
    return Rule(b"%d" % index, patterns, make_refs(rng), chain, score=1 << index, ignore_case=rng.random() < 0.3)


def make_request(rng: random.Random) -> dict[str, Any]:
    def text(most: int = 5) -> bytes:
        return b"".join(rng.choices(WORDS, k=rng.randrange(most)))

    query = b"&".join(rng.choice(NAMES) + b"=" + text() for _ in range(rng.randrange(5)))
    headers = [(rng.choice(NAMES[4:]), text()) for _ in range(rng.randrange(5))]
    return {
        "method": rng.choice([b"GET", b"A"]),
        "host": text(3),
        "path": b"/" + text().replace(b"?", b"") + b"?" + query,
        "headers": headers,
    }


@pytest.mark.parametrize("seed", range(12))
def test_a_scan_equals_the_slow_reading(seed: int) -> None:
    rng = random.Random(seed)
    rules = [make_rule(rng, i) for i in range(24)]
    program = probe.Program(rules)
    fired = 0
    for _ in range(150):
        request = make_request(rng)
        answer = program.scan(request)
        expected = oracle.expected(rules, request)
        assert {rule_id for rule_id, _, _ in answer["matches"]} == set(expected), request
        assert answer["score"] == sum(1 << int(rule_id) for rule_id in expected)
        assert not answer["error"]
        for rule_id, target, _ in answer["matches"]:
            assert target in expected[rule_id]
        fired += len(expected)
    assert fired > 100


def test_a_single_pattern_is_what_the_python_binding_finds() -> None:
    """Hyperscan's own binding as a second oracle, one pattern a database: merging databases changes nothing."""
    rng = random.Random(99)
    patterns = [
        *PATTERNS,
        rb"\bunion\b",
        rb"(?i)SELECT",
        rb"s.{2,4}t",
        rb"[^a-z]{3}",
        rb"(a|b/)+",
        rb"\w+\s\w+",
        rb"$"[:0] + rb"t$",
    ]
    rules = [Rule(b"%d" % i, (p,), (TargetRef(Target.BODY),), (), score=1) for i, p in enumerate(patterns)]
    program = probe.Program(rules)
    databases = []
    for pattern in patterns:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(expressions=[pattern], flags=[hyperscan.HS_FLAG_DOTALL | hyperscan.HS_FLAG_SINGLEMATCH])
        databases.append(database)
    for _ in range(300):
        body = b"".join(rng.choices(WORDS, k=rng.randrange(1, 8)))
        hits: list[bytes] = []
        for i, database in enumerate(databases):
            database.scan(body, match_event_handler=lambda *_, name=b"%d" % i, hits=hits: hits.append(name))
        assert [rule_id for rule_id, _, _ in program.scan({"body": body})["matches"]] == hits


def test_one_scratch_scans_many_requests_alike() -> None:
    """What a request left behind (strings seen, fired rules, memory) never shows in a later one."""
    rng = random.Random(4)
    rules = [make_rule(rng, i) for i in range(20)]
    program = probe.Program(rules)
    requests = [make_request(rng) for _ in range(60)]
    alone = [probe.Program(rules).scan(request) for request in requests]
    for _ in range(3):
        order = rng.sample(range(len(requests)), len(requests))
        assert [program.scan(requests[i]) for i in order] == [alone[i] for i in order]


def test_mutated_requests_stay_within_bounds() -> None:
    """Every text of a request is a heap block of exactly its size: a sanitizer sees what is read beyond."""
    rng = random.Random(8)
    rules = [make_rule(rng, i) for i in range(20)] + [
        Rule(b"all", (b"EVIL",), tuple(TargetRef(kind) for kind in Target), (Transformation.URL_DECODE_UNI,), score=1)
    ]
    program = probe.Program(rules)
    types = [
        b"application/json",
        b"multipart/form-data; boundary=XbX",
        b"application/x-www-form-urlencoded",
        b"",
        b"text/plain",
    ]
    bodies = [
        b'{"a": {"b": "\\u0041", "c": [1, true, {}]}, "d": "x"}',
        b'--XbX\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\nEVIL\r\n--XbX--\r\n',
        b"a=1&b=%41+&c=%u0041&d",
    ]
    for _ in range(3000):
        body = bytearray(rng.choice(bodies))
        for _ in range(rng.randrange(5)):
            body[rng.randrange(len(body))] = rng.choice(b'{}[]",:\\\r\n-Xb%&=+;\x00\xff')
        request = make_request(rng)
        request["headers"].append((b"content-type", rng.choice(types)))
        request["body"] = bytes(body[: rng.randrange(len(body) + 1)])
        answer = program.scan(request, rng.choice([10, 131072]))
        assert answer["bytes_inspected"] <= len(request["body"])
