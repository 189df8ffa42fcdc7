"""Logs: each line is one JSON object; the pump turns events into lines, feeds the hot keys, says what was left out."""

from __future__ import annotations

import io
import json
import logging
import time
from typing import Any

import pytest

from ratelimitd.log import Pump, configure, decision_fields
from ratelimitd.top import Top


def event(**changed: Any) -> Any:
    return {
        "time_ns": 1_700_000_000_123_000_000,
        "domain": "shop",
        "decision": "deny",
        "reason": "over_limit",
        "shadow": False,
        "decider": "limit",
        "limit": "login",
        "key": "203.0.113.7",
        "banned_by": "",
        "banned_seconds": 0,
        "client": "203.0.113.7",
        "method": "POST",
        "path": '/login?x="\n\x1b[31m',
        "status": 429,
        "score": 0,
        "matches": [],
        "more_matches": 0,
        "phase": "request",
        "secret": False,
        "reference": "00ff",
        "weight": 1,
        **changed,
    }


class Ring:
    """An engine's event ring."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.lost = 0
        self.evicted = 0

    def events(self, limit: int = 1024) -> list[Any]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    def stats(self) -> dict[str, Any]:
        return {"ring": {"lost": self.lost}, "bans": {"evicted": self.evicted}}


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_whatever_a_caller_sends() -> None:
    stream = io.StringIO()
    log = configure("info", "json", stream)
    log.info("decision", **decision_fields(event()))
    (line,) = lines(stream)
    assert line["event"] == "decision"
    assert line["path"] == "/login?x=\u2026"
    assert line["decided_at"] == "2023-11-14T22:13:20.123Z"
    assert (line["decision"], line["reason"], line["limit"], line["status"], line["weight"]) == (
        "deny", "over_limit", "login", 429, 1,
    )  # fmt: skip
    assert line["phase"] == "request"
    assert not {"score", "matches", "more_matches", "shadow"} & line.keys()  # they say nothing here


def match(value: bytes, **changed: Any) -> dict[str, Any]:
    return {"id": "942100", "target": "ARGS:q", "score": 5, "value": value, "size": len(value), **changed}


def logged(values: str, **changed: Any) -> dict[str, Any]:
    stream = io.StringIO()
    configure("info", "json", stream).info("decision", **decision_fields(event(**changed), values))
    (line,) = lines(stream)
    return line


def test_what_rules_matched_is_redacted_unless_asked_for() -> None:
    said = {values: logged(values, matches=[match(b"' OR 10=10")]) for values in ("redacted", "clear", "off")}
    whole = {"id": "942100", "target": "ARGS:q", "score": 5}
    assert said["redacted"]["matches"] == [whole | {"value": "10 bytes like ' a 0=0"}]
    assert said["clear"]["matches"] == [whole | {"value": "' OR 10=10"}]
    assert said["off"]["matches"] == [whole]


def test_a_query_keeps_its_names_only_unless_values_are_asked_for() -> None:
    path = "/login?user=ada&token&x=1=2&&=3"
    for values in ("redacted", "off"):
        assert logged(values, path=path)["path"] == "/login?user=\u2026&\u2026&x=\u2026&=\u2026"
    assert logged("clear", path=path)["path"] == path
    assert logged("clear", path=path, secret=True)["path"] != path
    assert logged("clear", path='/login?x="\n\x1b[31m')["path"] == '/login?x="\\x0a\\x1b[31m'
    assert logged("redacted", path="/login")["path"] == "/login"


def test_a_domain_that_hides_its_keys_shows_no_value_in_clear() -> None:
    assert logged("clear", secret=True, matches=[match(b"hunter2")])["matches"][0]["value"] == "7 bytes like a0"
    assert "value" not in logged("off", secret=True, matches=[match(b"hunter2")])["matches"][0]


def test_a_rule_without_a_condition_has_no_value_and_a_response_is_named() -> None:
    line = logged("clear", matches=[match(b"", target="")], more_matches=3, phase="response")
    assert line["matches"] == [{"id": "942100", "target": "", "score": 5}]
    assert (line["phase"], line["more_matches"]) == ("response", 3)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("values", ["redacted", "clear"])
def test_no_value_breaks_a_line(form: str, values: str) -> None:
    hostile = bytes(range(256)) + "\u2028\u202e\x85".encode() + b"\xed\xa0\x80"
    text = hostile.decode("utf-8", "replace")
    for start in range(0, len(hostile), 64):
        stream = io.StringIO()
        one = event(
            matches=[match(hostile[start : start + 128], size=1000)], path=text, method=text, key=text, decider="limit"
        )
        configure("info", form, stream).info("decision", **decision_fields(one, values))
        written = stream.getvalue()
        assert written.endswith("\n")
        assert not [c for c in written[:-1] if c in "\x85\u2028\u202e" or c < " " or c == "\x7f"]
        written.encode()


def test_levels_and_exceptions() -> None:
    stream = io.StringIO()
    log = configure("warning", "json", stream)
    log.info("unseen")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("seen")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "ValueError: why" in line["exception"]


def test_libraries_speak_in_our_format() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("uvicorn.error").warning("odd %s", "request")
    logging.getLogger("uvicorn.error").info("chatter")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("odd request", "uvicorn.error", "warning")


def test_console_lines_have_no_colours_off_a_terminal() -> None:
    stream = io.StringIO()
    configure("info", "console", stream).info("policy reloaded", generation=2)
    assert "policy reloaded" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_the_pump_empties_the_ring_and_feeds_the_hot_keys() -> None:
    ring, stream, top = Ring(), io.StringIO(), Top()
    pump = Pump(ring, configure("info", "json", stream), top)
    ring.waiting = [event()] * 2000 + [
        event(decision="allow", reason="", weight=128, limit="per-ip", key="198.51.100.1")
    ]
    assert pump.drain() == 2001
    assert len(lines(stream)) == 2001
    hottest, denied = top.report(10)["hottest"], top.report(10)["denied"]
    assert [(row["key"], row["hits"]) for row in hottest] == [("203.0.113.7", 2000), ("198.51.100.1", 128)]  # type: ignore[attr-defined]
    assert [row["key"] for row in denied] == ["203.0.113.7"]  # type: ignore[attr-defined]


def test_the_hot_keys_of_lists_rules_and_cut_bodies_are_clients() -> None:
    ring, top = Ring(), Top()
    by_list = event(decider="list", limit="bad", key="", client="198.51.100.1")
    cut = event(decider="partial_body", limit="", key="", client="198.51.100.3", reason="partial_body")
    watched = event(decider="rule", limit="sqli", key="", client="198.51.100.2", decision="allow", shadow=True)
    ring.waiting = [by_list, cut, watched, event(decision="allow", decider="", limit="", key="")]
    Pump(ring, configure("info", "json", io.StringIO()), top).drain()

    def rows(name: str) -> set[tuple[str, str, str]]:
        return {(row["decider"], row["limit"], row["key"]) for row in top.report(10)[name]}  # type: ignore[attr-defined]

    assert rows("denied") == {("list", "bad", "198.51.100.1"), ("partial_body", "", "198.51.100.3")}
    assert rows("shadow_denied") == {("rule", "sqli", "198.51.100.2")}
    assert rows("hottest") == rows("denied") | rows("shadow_denied")


def test_the_pump_runs_by_itself_and_says_what_was_lost() -> None:
    ring, stream = Ring(), io.StringIO()
    pump = Pump(ring, configure("info", "json", stream), Top(), interval=0.01)
    pump.start()
    ring.waiting = [event()]
    ring.lost, ring.evicted = 5, 3
    deadline = time.monotonic() + 2
    while "lost" not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.005)
    ring.waiting = [event(decision="allow")]
    pump.stop()
    written = lines(stream)
    assert [line["lost"] for line in written if "lost" in line] == [5]
    assert [line["bans"] for line in written if "bans" in line] == [3]
    assert [line["decision"] for line in written if "decision" in line] == ["deny", "allow"]  # the last at stop


def test_the_pump_outlives_a_bad_event(capsys: pytest.CaptureFixture[str]) -> None:
    ring, stream = Ring(), io.StringIO()
    pump = Pump(ring, configure("info", "json", stream), Top(), interval=0.01)
    ring.waiting = [{"odd": 1}]
    pump.start()
    deadline = time.monotonic() + 2
    while "log pump failed" not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.005)
    ring.waiting = [event()]
    pump.stop()
    assert lines(stream)[-1]["decision"] == "deny"
