"""Bans of the native engine: who is banned, for how long, and what a ban does to a check."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimitd._engine import Engine
from ratelimitd.errors import EngineError
from ratelimitd.policy import load_text

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
START = 1_800_000_000 * SECOND
LIMITS = """
version: 1
domain: shop
limits:
  login: {match: {path: /login}, key: client.ip, limit: 1, window: 1s, algorithm: fixed_window}
  other: {match: {path: /other}, key: client.ip, limit: 1, window: 1s, algorithm: fixed_window, status: 503}
"""
BRUTE = """
penalties:
  brute: {key: client.ip, after: {denials: 3, within: 1m, of: limit.login}, ban: [10m, 1h], forgive: 2h}
"""
SCAN = """
scan:
  mode: %s
  rules: [{id: bad, pattern: attack, targets: query, score: 5}]
"""


def engine(text: str, **options: Any) -> Engine:
    made = Engine(sample=0, **options)
    made.swap(load_text(LIMITS + text).plan)
    return made


def ask(made: Engine, at: int, path: str = "/login", ip: str = "203.0.113.7", **more: Any) -> dict[str, Any]:
    return made.check({"path": path, "source_address": ip, **more}, now_ns=START + at)


def deny(made: Engine, at: int, count: int = 3, **more: Any) -> None:
    """So many denials by the limit, in one of its windows."""
    reasons = [ask(made, at, **more)["reason"] for _ in range(count + 1)]
    assert reasons == ["", *["over_limit"] * count]


def banned(made: Engine, at: int) -> bool:
    return ask(made, at, path="/else")["reason"] == "penalty"


def test_denials_lead_to_a_ban_of_everything_with_that_key() -> None:
    made = engine(BRUTE)
    deny(made, 0, 2)
    assert not banned(made, 0)
    third = ask(made, 0)
    assert (third["reason"], third["retry_after"]) == ("over_limit", 600)  # it knows of the ban that it led to
    verdict = ask(made, SECOND // 2, path="/else")
    assert (verdict["decision"], verdict["status"], verdict["reason"]) == ("deny", 403, "penalty")
    assert (verdict["decided_by"], verdict["retry_after"], verdict["limits"]) == ("brute", 600, [])
    assert ("retry-after", "600") in verdict["headers"]
    assert verdict["reference"]
    assert ask(made, 0, path="/else", ip="203.0.113.8")["decision"] == "allow"
    assert ask(made, 9 * MINUTE + 59_500_000_000)["retry_after"] == 1
    assert not banned(made, 10 * MINUTE)


def test_a_ban_consumes_from_no_limit() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    assert [ask(made, 5 * SECOND)["reason"] for _ in range(3)] == ["penalty"] * 3
    assert made.lookup("shop", "login", ["203.0.113.7"], now_ns=START + 5 * SECOND) is None or (
        made.lookup("shop", "login", ["203.0.113.7"], now_ns=START + 5 * SECOND)["used"] == 0  # type: ignore[index]
    )


def test_denials_that_are_too_far_apart_lead_to_nothing() -> None:
    made = engine(BRUTE)
    for turn in range(8):
        deny(made, turn * 2 * MINUTE, 2)
    assert not banned(made, 15 * MINUTE)


def test_only_denials_of_the_named_limits_count() -> None:
    made = engine(BRUTE)
    deny(made, 0, 9, path="/other")
    assert not banned(made, 0)
    made = engine("penalties: {any: {key: client.ip, after: {denials: 3, within: 1m}, ban: 1m}}")
    deny(made, 0, 3, path="/other")
    assert banned(made, 0)


def test_bans_escalate_and_each_takes_as_many_new_denials() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    deny(made, 10 * MINUTE, 2)
    assert not banned(made, 10 * MINUTE)
    assert ask(made, 10 * MINUTE)["retry_after"] == 3600
    assert banned(made, 69 * MINUTE)
    assert not banned(made, 70 * MINUTE)
    deny(made, 70 * MINUTE)
    assert banned(made, 129 * MINUTE)
    assert not banned(made, 130 * MINUTE)
    assert made.stats()["penalties"] == [{"domain": "shop", "penalty": "brute", "bans": 3}]


def test_good_behaviour_takes_steps_back() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    deny(made, 10 * MINUTE)  # until 70 min: level 2
    deny(made, 190 * MINUTE)  # two hours later: level 1, so the second step again
    assert banned(made, 240 * MINUTE)
    assert not banned(made, 250 * MINUTE)
    deny(made, 250 * MINUTE + 4 * HOUR)  # all is forgiven
    assert not banned(made, 260 * MINUTE + 4 * HOUR)


def test_a_denial_begins_good_behaviour_anew() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    deny(made, 10 * MINUTE + HOUR, 1)
    deny(made, 10 * MINUTE + 2 * HOUR + MINUTE)  # an hour and a minute after the last denial: nothing is forgiven
    assert banned(made, 11 * MINUTE + 2 * HOUR + 30 * MINUTE)


def test_a_shadow_penalty_is_counted_and_logged_only() -> None:
    made = Engine(sample=0)
    made.swap(load_text(LIMITS + BRUTE.replace("ban:", "mode: shadow, ban:")).plan)
    deny(made, 0)
    made.events()
    verdict = ask(made, SECOND, path="/else")
    assert (verdict["decision"], verdict["shadow_denied"]) == ("allow", True)
    (event,) = made.events()
    assert (event["decider"], event["limit"], event["key"], event["shadow"]) == (
        "penalty",
        "brute",
        "203.0.113.7",
        True,
    )
    rows = [row for row in made.stats()["limits"] if row["penalty"]]
    assert rows == [{"domain": "shop", "limit": "", "list": "", "penalty": "brute", "near": 0, "shadow_denied": 1}]


def test_a_watched_policy_shows_the_bans_it_would_make() -> None:
    made = Engine(sample=0)
    made.swap(load_text(LIMITS + BRUTE + "mode: shadow\n").plan)
    assert [ask(made, 0)["decision"] for _ in range(4)] == ["allow"] * 4
    assert ask(made, 0, path="/else")["shadow_denied"]


def test_an_enforced_penalty_counts_no_denials_in_the_shadow() -> None:
    made = Engine(sample=0)
    text = LIMITS.replace("limit: 1, window: 1s", "limit: 1, window: 1s, mode: shadow", 1)
    made.swap(load_text(text + "penalties: {any: {key: client.ip, after: {denials: 3, within: 1m}, ban: 1m}}").plan)
    for _ in range(9):
        assert ask(made, 0)["decision"] == "allow"


@pytest.mark.parametrize("mode", ["block", "detect"])
def test_scores_lead_to_a_ban(mode: str) -> None:
    made = engine("penalties: {bad: {key: client.ip, after: {score: 15, within: 1m}, ban: 1m}}" + SCAN % mode)
    reasons = [ask(made, 0, path="/a?q=attack")["reason"] for _ in range(4)]
    assert reasons == [*["scan" if mode == "block" else ""] * 3, "penalty"]


def test_denials_of_the_scan_lead_to_a_ban() -> None:
    of_scan = "penalties: {bad: {key: client.ip, after: {denials: 2, within: 1m, of: scan}, ban: 1m}}" + SCAN % "block"
    made = engine(of_scan)
    deny(made, 0, 5)
    assert [ask(made, 0, path="/a?q=attack")["reason"] for _ in range(3)] == ["scan", "scan", "penalty"]


def test_a_watched_scan_counts_for_a_penalty_in_the_shadow() -> None:
    text = "penalties: {bad: {key: client.ip, after: {denials: 2, within: 1m, of: scan}, ban: 1m, mode: %s}}"
    for mode, expected in (("shadow", 1), ("enforce", 0)):
        made = engine(text % mode + SCAN % "detect")
        for _ in range(2):
            assert ask(made, 0, path="/a?q=attack")["shadow_denied"]
        assert len(made.bans(now_ns=START)) == expected


def test_what_is_asked_for_together_must_come_together() -> None:
    text = "penalties: {bad: {key: client.ip, after: {denials: 2, score: 10, within: 1m, of: limits}, ban: 1m}}"
    made = engine(text + SCAN % "detect")
    for _ in range(3):
        ask(made, 0, path="/a?q=attack")
    assert not made.bans(now_ns=START)
    deny(made, 0, 2)
    assert made.bans(now_ns=START)


def test_a_request_without_the_key_is_not_concerned() -> None:
    text = "penalties: {token: {key: header.x-key, after: {denials: 1, within: 1m}, ban: 1h}}"
    made = engine(text)
    deny(made, 0)
    assert not made.bans(now_ns=START)
    deny(made, SECOND, 1, headers=[("x-key", "a")])
    assert ask(made, SECOND, path="/else", headers=[("x-key", "a")])["reason"] == "penalty"
    assert not banned(made, SECOND)


def test_a_dry_run_and_a_peek_count_nothing_but_see_bans() -> None:
    made = engine(BRUTE)
    ask(made, 0)
    for more in ({"dry_run": True}, {"cost": 0}):
        for _ in range(5):
            ask(made, 0, **more)
    assert not made.bans(now_ns=START)
    deny(made, SECOND)
    assert ask(made, SECOND, dry_run=True)["reason"] == "penalty"


def test_lists_come_before_bans() -> None:
    made = engine(BRUTE + "lists: {office: {allow: 203.0.113.7, match: {path: /else}}}")
    deny(made, 0)
    assert ask(made, 0, path="/else")["reason"] == "allow_list"
    assert ask(made, 0)["reason"] == "penalty"


def test_of_several_bans_the_longest_decides() -> None:
    made = engine(
        "penalties:\n"
        "  short: {key: client.ip, after: {denials: 1, within: 1m}, ban: 1m}\n"
        "  long: {key: client.ip, after: {denials: 1, within: 1m}, ban: 2m, status: 429}\n"
    )
    deny(made, 0, 1)
    verdict = ask(made, 0)
    assert (verdict["decided_by"], verdict["status"], verdict["retry_after"]) == ("long", 429, 120)


def test_people_ban_and_lift() -> None:
    made = engine("penalties: {by-hand: {key: [client.ip, method], ban: 1h}}")
    request = {"path": "/", "method": "GET", "source_address": "203.0.113.7"}
    key = ["203.0.113.7", "GET"]
    assert made.ban("shop", "by-hand", key, 60_000, now_ns=START)
    assert made.check(request, now_ns=START)["retry_after"] == 60
    (row,) = made.bans(now_ns=START)
    assert (row["domain"], row["penalty"], row["key"], row["level"]) == ("shop", "by-hand", "203.0.113.7|GET", 0)
    assert made.unban("shop", "by-hand", key, now_ns=START)
    assert made.check(request, now_ns=START)["decision"] == "allow"
    assert not made.unban("shop", "by-hand", ["203.0.113.8", "GET"], now_ns=START)
    assert not made.ban("shop", "nobody", key, 60_000)
    assert not made.ban("no", "by-hand", key, 60_000)
    with pytest.raises(EngineError, match="2 parts"):
        made.ban("shop", "by-hand", ["203.0.113.7"], 60_000)
    with pytest.raises(EngineError, match="for_ms"):
        made.ban("shop", "by-hand", key, 0)


def test_who_was_lifted_begins_anew() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    assert made.unban("shop", "brute", ["203.0.113.7"], now_ns=START)
    deny(made, SECOND, 2)
    assert not banned(made, SECOND)
    assert ask(made, SECOND)["retry_after"] == 600  # of the first step


def test_accounts_travel_between_engines() -> None:
    secret = bytes(range(16))
    one, two = (engine(BRUTE, hash_key=secret) for _ in range(2))
    deny(one, 0)
    (account,) = one.ban_events()
    assert one.ban_events() == []
    assert two.ban_apply([account], now_ns=START) == 1
    assert banned(two, 0)
    assert two.ban_events() == []
    assert two.ban_apply([account], now_ns=START) == 0  # nothing new
    two.unban("shop", "brute", ["203.0.113.7"], now_ns=START)
    (lifted,) = two.ban_events()
    assert one.ban_apply([lifted, account], now_ns=START) == 1
    assert not banned(one, 0)
    deny(two, SECOND)
    (again,) = two.ban_events()
    assert one.ban_apply([again], now_ns=START + SECOND) == 1
    assert banned(one, SECOND)


def test_accounts_from_elsewhere_are_not_believed_blindly() -> None:
    made = engine(BRUTE)
    good = {
        "domain": "d" * 99, "penalty": "p" * 99, "key": "k" * 999, "digest": bytes(16),
        "until_ms": START // 10**6 + 1000, "changed_ms": START // 10**6, "quiet_ms": START // 10**6,
        "forgive_ms": 1000, "level": 1,
    }  # fmt: skip
    bad = [{**good, **change} for change in (
        {"digest": b"short"}, {"until_ms": 1 << 62}, {"until_ms": -1}, {"forgive_ms": 0}, {"level": 1 << 32},
        {"changed_ms": 1 << 62}, {"quiet_ms": 1 << 62}, {"forgive_ms": 1 << 32},
    )]  # fmt: skip
    assert made.ban_apply(bad, now_ns=START) == 0
    assert made.ban_apply([good], now_ns=START) == 1
    (row,) = made.bans(now_ns=START)
    assert (len(row["domain"]), len(row["penalty"]), len(row["key"])) == (64, 64, 125)


def test_keys_are_hidden_where_the_policy_says_so() -> None:
    made = engine(BRUTE + "privacy: {keys: hash}\n")
    deny(made, 0)
    ban = made.bans(now_ns=START)[0]["key"]
    made.ban("shop", "brute", ["203.0.113.7"], 60_000, now_ns=START)
    assert "203.0" not in ban
    assert made.bans(now_ns=START)[0]["key"] == ban


def test_an_edit_of_the_policy_lifts_no_ban() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    made.swap(load_text(LIMITS + BRUTE.replace("denials: 3", "denials: 30").replace("10m", "1m")).plan)
    assert banned(made, 9 * MINUTE)


def test_what_is_full_drops_no_ban_that_lasts_before_it_must() -> None:
    made = engine(BRUTE, max_bans=4)
    for number in range(4):
        assert made.ban("shop", "brute", [f"10.0.0.{number}"], 60_000 + number, now_ns=START)
    late = START + 70 * SECOND  # those are over, and forgotten first
    for number in range(4, 8):
        assert made.ban("shop", "brute", [f"10.0.0.{number}"], 60_000 + number, now_ns=late)
    assert {row["key"] for row in made.bans(now_ns=late)} == {f"10.0.0.{n}" for n in range(4, 8)}
    assert (made.stats()["bans"]["forgotten"], made.stats()["bans"]["evicted"]) == (4, 0)
    assert made.ban("shop", "brute", ["10.0.0.9"], 60_000, now_ns=late)
    assert {row["key"] for row in made.bans(now_ns=late)} == {f"10.0.0.{n}" for n in (5, 6, 7, 9)}
    assert made.stats()["bans"]["evicted"] == 1


def test_a_domain_counts_its_bans_and_tells_them_in_the_log() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    made.events()
    ask(made, 0)
    (event,) = made.events()
    assert (event["reason"], event["decider"], event["limit"], event["key"]) == (
        "penalty",
        "penalty",
        "brute",
        "203.0.113.7",
    )
    row = {"domain": "shop", "limit": "", "list": "", "penalty": "brute", "decision": "deny", "reason": "penalty"}
    assert {**row, "count": 1} in made.stats()["decisions"]


def test_the_log_tells_who_was_banned_after_what() -> None:
    made = engine(BRUTE)
    deny(made, 0)
    told = [(event["reason"], event["banned_by"], event["banned_seconds"]) for event in made.events()]
    assert told == [*[("over_limit", "", 0)] * 2, ("over_limit", "brute", 600)]
    assert made.inspect_response({"path": "/"}, {"status": 200})["decision"] == "allow"


def test_a_ban_after_an_allowed_check_is_told_too() -> None:
    made = engine("penalties: {bad: {key: client.ip, after: {score: 5, within: 1m}, ban: 1m}}" + SCAN % "detect")
    ask(made, 0)
    ask(made, 0, path="/a?q=attack")
    assert [(event["decision"], event["banned_by"]) for event in made.events()] == [("allow", "bad")]
