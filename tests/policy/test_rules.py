"""Short rules as a program: what they find, and that the score of each counts once."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimitd.errors import Position
from ratelimitd.policy.names import parse_target
from ratelimitd.policy.plan import Rule, Transformation
from ratelimitd.policy.rules import lowered
from ratelimitd.waf.compile import Settings, assemble

SCORE = b"inbound_anomaly_score_pl1"
HERE = Position("policy.yaml", 1, 1)


def rule(id: str, *patterns: str, targets: str = "args", **more: Any) -> Rule:
    refs = tuple(ref for text in targets.split() if (ref := parse_target(text)))
    return Rule(id.encode(), tuple(p.encode() for p in patterns), refs, **{"score": 5, **more})


def run(rules: list[Rule], **request: Any) -> Any:
    probe = pytest.importorskip("ratelimitd._ext.waf.probe")
    program = assemble(Settings(), lowered(rules, SCORE, 403, (HERE for _ in rules)))
    asked = {"method": b"GET", "path": b"/", "host": b"shop.example", "source_address": b"192.0.2.1", **request}
    return probe.Program(program).run(asked)


def fired(rules: list[Rule], **request: Any) -> list[tuple[str, str]]:
    found = run(rules, **request)["fired"]
    return [(f["id"].decode(), f["target"].decode()) for f in found]


def test_a_rule_fires_once_and_its_score_counts_once() -> None:
    found = run([rule("twice", "evil")], path=b"/?a=evil&b=evil&c=evil+evil")
    assert [(f["id"], f["target"], f["score"]) for f in found["fired"]] == [(b"twice", b"ARGS:a", 5)]
    assert found["score"] == 5


def test_any_pattern_on_any_target_makes_it_fire() -> None:
    rules = [rule("any", "one", "tw[o0]", targets="query headers:x-a")]
    assert fired(rules, path=b"/?q=tw0") == [("any", "QUERY_STRING")]
    assert fired(rules, headers=[(b"x-a", b"one")]) == [("any", "REQUEST_HEADERS:x-a")]
    assert fired(rules, headers=[(b"x-b", b"one")]) == []


def test_the_scores_of_rules_add_up() -> None:
    assert run([rule("a", "x"), rule("b", "x", score=3), rule("c", "y")], path=b"/?q=x")["score"] == 8


@pytest.mark.parametrize(
    ("target", "request_"),
    [
        ("method", {"method": b"EVIL"}),
        ("path", {"path": b"/a/%65/EVIL"}),
        ("query", {"path": b"/?EVIL"}),
        ("args", {"path": b"/?a=%45VIL"}),
        ("args:a", {"path": b"/?a=%45VIL"}),
        ("args_names", {"path": b"/?EVIL=1"}),
        ("headers", {"headers": [(b"x-a", b"EVIL")]}),
        ("headers_names", {"headers": [(b"x-EVIL", b"1")]}),
        ("cookies", {"headers": [(b"cookie", b"a=EVIL")]}),
        ("cookies_names", {"headers": [(b"cookie", b"EVIL=1")]}),
        ("body", {"method": b"POST", "body": b"..EVIL..", "headers": [(b"content-type", b"application/octet-stream")]}),
        ("host", {"host": b"EVIL.example"}),
    ],
)
def test_a_rule_looks_at_its_target(target: str, request_: dict[str, Any]) -> None:
    assert [name for name, _ in fired([rule("r", "evil", targets=target, ignore_case=True)], **request_)] == ["r"]
    other = "query" if target in ("method", "host") else "method"
    assert fired([rule("r", "evil", targets=other, ignore_case=True)], **request_) == []


def test_a_file_name_is_a_target() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="evil.php"\r\n\r\nx\r\n--b--\r\n'
    asked = {"method": b"POST", "body": body, "headers": [(b"content-type", b"multipart/form-data; boundary=b")]}
    assert fired([rule("php", r"\.php$", targets="files_names")], **asked) == [("php", "FILES:f")]


def test_a_target_that_is_left_out_is_not_looked_at() -> None:
    rules = [rule("r", "evil", targets="args !args:password")]
    assert fired(rules, path=b"/?password=evil") == []
    assert fired(rules, path=b"/?password=evil&q=evil") == [("r", "ARGS:q")]


def test_the_ends_of_a_pattern_are_those_of_the_value() -> None:
    assert fired([rule("r", "^evil$", "^b")], path=b"/?q=a%0aevil%0ab") == []
    assert fired([rule("r", "^evil$", "^b")], path=b"/?q=evil") == [("r", "ARGS:q")]
    assert fired([rule("r", "a.b")], path=b"/?q=a%0ab") == [("r", "ARGS:q")]


def test_case_matters_unless_it_is_said_not_to() -> None:
    assert fired([rule("r", "evil")], path=b"/?q=EVIL") == []
    assert fired([rule("r", "evil", ignore_case=True)], path=b"/?q=EVIL") == [("r", "ARGS:q")]


def test_transformations_come_first() -> None:
    steps = (Transformation.URL_DECODE, Transformation.LOWERCASE)
    assert fired([rule("r", "^evil$", transformations=steps)], path=b"/?q=%2545VIL") == [("r", "ARGS:q")]


def test_a_rule_that_denies_denies_alone() -> None:
    found = run([rule("word", "evil", deny=True, score=0)], path=b"/?q=evil")
    assert found["denied"]
    assert found["status"] == 403
    assert found["fired"][found["deciding"]]["id"] == b"word"
    assert not run([rule("word", "evil")], path=b"/?q=evil")["denied"]
