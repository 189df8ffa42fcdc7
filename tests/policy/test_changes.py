"""What an edit does to the counters."""

from __future__ import annotations

from ratelimitd.policy import load_text
from ratelimitd.policy.changes import Change, compare, render_changes
from ratelimitd.policy.plan import Plan

LIMITS = """
  a: {key: client.ip, limit: 5, window: 1m}
  b: {key: client.ip, limit: 5, window: 1m}
  c: {key: client.ip, limit: 5, window: 1m}
  d: {key: client.ip, algorithm: token_bucket, rate: 5/s, burst: 10}
"""


def plan(limits: str, domain: str = "shop") -> Plan:
    return load_text(
        f"version: 1\ndomain: {domain}\nlimits: {{}}\n"
        if not limits
        else f"version: 1\ndomain: {domain}\nlimits:{limits}"
    ).plan


def test_the_same_policy_keeps_everything() -> None:
    changes = compare(plan(LIMITS), plan(LIMITS))
    assert {change.kind for change in changes} == {"kept"}
    assert render_changes(changes) == "4 limits unchanged, counters kept\n"


def test_each_edit_is_told_in_words() -> None:
    edited = """
  a: {key: client.ip, limit: 7, window: 1m, mode: shadow, match: {path: /a}}
  b: {key: [client.ip, header.x], limit: 5, window: 2m, buckets: 4}
  d: {key: client.ip, algorithm: fixed_window, limit: 10, window: 2s}
  e: {key: [], limit: 1, window: 1h}
"""
    assert [str(change) for change in compare(plan(LIMITS), plan(edited))] == [
        "changed shop/a: limit 5 -> 7, now shadow, match",
        "reset shop/b: key [client.ip] -> [client.ip, header.x], window 1m -> 2m, buckets 1 -> 4",
        "reset shop/d: algorithm token_bucket -> fixed_window",
        "added shop/e: 1 per 1h by []",
        "removed shop/c",
    ]


def test_a_bucket_that_fills_in_another_time_begins_anew() -> None:
    before = plan("\n  d: {key: client.ip, algorithm: token_bucket, rate: 5/s, burst: 10}\n")
    wider = plan("\n  d: {key: client.ip, algorithm: token_bucket, rate: 10/s, burst: 20}\n")
    slower = plan("\n  d: {key: client.ip, algorithm: token_bucket, rate: 5/s, burst: 20}\n")
    assert [str(change) for change in compare(before, wider)] == ["changed shop/d: limit 10 -> 20"]
    assert [str(change) for change in compare(before, slower)] == ["reset shop/d: time to fill 2s -> 4s"]


def test_domains_come_and_go() -> None:
    changes = compare(plan(LIMITS), plan("\n  a: {key: client.ip, limit: 5, window: 1m}\n", "blog"))
    assert changes[0] == Change("added", "blog", "a", "5 per 1m by [client.ip]")
    assert [(change.kind, change.domain, change.limit) for change in changes[1:]] == [
        ("removed", "shop", name) for name in ("a", "b", "c", "d")
    ]


def test_penalties_come_and_go() -> None:
    text = "version: 1\ndomain: shop\npenalties:\n"
    before = load_text(f"{text}  a: {{key: client.ip, ban: 1h}}\n  b: {{key: client.ip, ban: 1h}}\n").plan
    after = load_text(f"{text}  a: {{key: header.x, ban: 1h}}\n  c: {{key: client.ip, ban: 1h}}\n").plan
    longer = load_text(f"{text}  a: {{key: client.ip, ban: 2h}}\n  b: {{key: client.ip, ban: 1h}}\n").plan
    assert [str(change) for change in compare(before, after)] == [
        "reset penalty shop/a: key [client.ip] -> [header.x], its bans hold no longer",
        "added penalty shop/c",
        "removed penalty shop/b: its bans hold no longer",
    ]
    assert [str(change) for change in compare(before, longer)] == ["changed penalty shop/a", "kept penalty shop/b"]
    assert render_changes(compare(before, before)) == "0 limits unchanged, counters kept\n"
