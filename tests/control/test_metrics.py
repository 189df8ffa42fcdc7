"""Metrics: what a scraper reads is what the engine counted, under bounded labels."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ratelimitd.admin.context import Context
from ratelimitd.admin.metrics import OTHER, EngineCollector, Names
from ratelimitd.certificates import TlsState
from ratelimitd.reload import ReloadState

BOUNDS = [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000]


def row(
    count: int, decision: str, reason: str, *, limit: str = "", list_: str = "", penalty: str = ""
) -> dict[str, Any]:
    """A row of Engine.stats()["decisions"]."""
    place = {"domain": "shop", "limit": limit, "list": list_, "penalty": penalty}
    return {**place, "decision": decision, "reason": reason, "count": count}


class Counted:
    """An engine that has counted."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = [
            row(3, "deny", "over_limit", limit="login"),
            row(2, "deny", "deny_list", list_="login"),
            row(5, "deny", "penalty", penalty="login"),
            row(40, "allow", ""),
        ]
        self.rules: list[dict[str, Any]] = [{"domain": "shop", "rule": "942100", "count": 6}]

    def stats(self) -> dict[str, Any]:
        return {
            "server": {
                "connections_accepted": 9,
                "connections_closed": 2,
                "connections_refused": 1,
                "connections_by_worker": [3, 4],
                "bytes_read": 1,
                "bytes_written": 2,
                "turns": 3,
                "unread_bytes": 7,
                "calls": {"envoy_check": 1, "check": 2},
                "grpc_errors": [0] * 8 + [5] + [0] * 8,
                "http_errors": {400: 7, 404: 0},
                "shed": 4,
                "deadline_passed": 0,
                "abuse": {"malformed": 5, "stalled": 6},
                "latency": [5, 3] + [0] * 14 + [1],
                "latency_sum_ns": 2_500_000_000,
                "tls_full": 9,
                "tls_resumed": 4,
                "tls_failures": {"expired": 6, "gone": 0},
            },
            "latency_bounds_us": BOUNDS,
            "decisions": self.rows,
            "limits": [
                {"domain": "shop", "limit": "login", "list": "", "penalty": "", "near": 7, "shadow_denied": 8},
                {"domain": "shop", "limit": "", "list": "login", "penalty": "", "near": 0, "shadow_denied": 9},
                {"domain": "shop", "limit": "", "list": "", "penalty": "login", "near": 0, "shadow_denied": 4},
            ],
            "shadow_denied": {"shop": 11},
            "scan": {"scans": 1, "bytes": 2, "matches": 3, "errors": 4},
            "responses": {"allowed": 5, "denied": 6, "shadow_denied": 2, "bytes": 70},
            "rules": self.rules,
            "table": {
                "keys": 5,
                "max_keys": 100,
                "inserted": 9,
                "evicted": 1,
                "expired": 3,
                "sketched": 2,
                "bytes": 6400,
            },
            "collections": {"records": 3, "max_records": 64, "evicted": 2, "bytes": 20480},
            "blocklists": {
                "answers": 6,
                "max_answers": 64,
                "evicted": 1,
                "asked": 9,
                "dropped": 2,
                "listed": 3,
                "not_listed": 4,
                "failed": 1,
            },
            "bans": {"banned": 3, "records": 4, "max_bans": 9, "made": 5, "evicted": 1, "forgotten": 2},
            "penalties": [{"domain": "shop", "penalty": "login", "bans": 5}],
            "penalties_truncated": 0,
            "limits_truncated": 1,
            "ring": {"lost": 6},
            "generation": 1,
        }


def registry(engine: Any) -> CollectorRegistry:
    state = ReloadState("shop.yaml", digest="abc", generation=2, loaded_at=10.0, ok=False, successes=2, failures=1)
    context = Context(
        engine=engine,
        version="0.1.0",
        serving=lambda: True,
        reload=lambda: state,
        policy_data=dict,
        policy_text=str,
        limits=dict,
        penalties=dict,
        duration=int,
        top=lambda n: {},
        tls=lambda: TlsState(not_after=30.0, client_ca_not_after=20.0, ok=False, successes=3, failures=2),
    )
    made = CollectorRegistry()
    made.register(EngineCollector(context))
    return made


@pytest.fixture
def samples() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = generate_latest(registry(Counted())).decode()
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_what_was_counted_is_what_is_read(samples: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> None:
    def value(name: str, **labels: str) -> float:
        return samples[f"ratelimitd_{name}", frozenset(labels.items())]

    def decided(decision: str, reason: str, **place: str) -> float:
        labels = {"domain": "shop", "limit": "", "list": "", "penalty": "", **place}
        return value("decisions_total", decision=decision, reason=reason, **labels)

    assert decided("deny", "over_limit", limit="login") == 3
    assert decided("allow", "none") == 40
    assert value("near_limit_total", domain="shop", limit="login") == 7
    assert value("shadow_denials_total", domain="shop", limit="login", list="", penalty="") == 8
    assert value("shadow_denied_checks_total", domain="shop") == 11
    assert value("connections") == 7
    assert (value("tls_handshakes_total", kind="full"), value("tls_handshakes_total", kind="resumed")) == (9, 4)
    assert value("tls_handshake_failures_total", reason="expired") == 6
    assert value("tls_certificate_expiry_timestamp_seconds", certificate="server") == 30
    assert value("tls_certificate_expiry_timestamp_seconds", certificate="client_ca") == 20
    assert (value("tls_reload_success"), value("tls_reloads_total", result="failure")) == (0, 2)
    assert value("connections_refused_total") == 1
    assert value("calls_total", method="check") == 2
    assert (value("responses_total", decision="allow"), value("responses_total", decision="deny")) == (5, 6)
    assert (value("shadow_denied_responses_total"), value("response_bytes_total")) == (2, 70)
    assert value("grpc_errors_total", code="RESOURCE_EXHAUSTED") == 5
    assert value("http_errors_total", status="400") == 7
    assert value("abuse_total", kind="stalled") == 6
    assert value("shed_total") == 4
    assert value("keys") == 5
    assert value("keys_max") == 100
    assert value("evictions_total") == 1
    assert value("sketched_total") == 2
    assert value("scan_bytes_total") == 2
    assert value("log_lost_total") == 6
    assert value("reloads_total", result="failure") == 1
    assert value("reload_success") == 0
    assert value("policy_info", digest="abc") == 1
    assert decided("deny", "penalty", penalty="login") == 5
    assert value("bans_total", domain="shop", penalty="login") == 5
    assert (value("banned"), value("ban_records"), value("ban_records_max")) == (3, 4, 9)
    assert (value("bans_evicted_total"), value("bans_forgotten_total")) == (1, 2)


def test_a_list_a_limit_and_a_penalty_of_one_name_are_told_apart(
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float],
) -> None:
    def values(name: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(dict(labels)[kind] for kind in ("limit", "list", "penalty")): count
            for (sample, labels), count in samples.items()
            if sample == f"ratelimitd_{name}"
        }

    assert values("decisions_total") == {
        ("login", "", ""): 3,
        ("", "login", ""): 2,
        ("", "", "login"): 5,
        ("", "", ""): 40,
    }
    assert values("shadow_denials_total") == {("login", "", ""): 8, ("", "login", ""): 9, ("", "", "login"): 4}


def test_the_histogram_is_cumulative_and_in_seconds(
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float],
) -> None:
    buckets = {
        float(dict(labels)["le"]): count
        for (name, labels), count in samples.items()
        if name == "ratelimitd_check_duration_seconds_bucket"
    }
    assert buckets[10e-6] == 5
    assert buckets[25e-6] == 8
    assert buckets[float("inf")] == 9
    assert samples["ratelimitd_check_duration_seconds_count", frozenset()] == 9
    assert samples["ratelimitd_check_duration_seconds_sum", frozenset()] == 2.5


def test_openmetrics_is_well_formed() -> None:
    families = {f.name for f in parse_openmetrics(generate_openmetrics(registry(Counted())).decode())}
    assert {"ratelimitd_decisions", "ratelimitd_check_duration_seconds", "ratelimitd_policy"} <= families


def test_names_follow_the_conventions() -> None:
    for family in registry(Counted()).collect():
        assert family.name.startswith("ratelimitd_")
        assert family.documentation.endswith(".")
        assert not family.name.endswith(("_total", "_count", "_sum"))


def test_labels_are_bounded_and_no_series_goes_backwards() -> None:
    engine = Counted()
    made = registry(engine)

    def scrape() -> dict[tuple[str, ...], float]:
        return {
            tuple(s.labels.values()): s.value
            for f in made.collect()
            if f.name == "ratelimitd_decisions"
            for s in f.samples
        }

    engine.rows = [row(1, "deny", "over_limit", limit=f"l{n}") for n in range(1500)]
    first = scrape()
    assert len(first) == 1001
    assert first[OTHER, OTHER, "", "", "deny", "over_limit"] == 500
    engine.rows = [row(2, "deny", "over_limit", limit=f"l{n}") for n in reversed(range(1500))]
    second = scrape()
    assert all(second[labels] >= count for labels, count in first.items())


def test_matches_by_rule_are_bounded() -> None:
    engine = Counted()
    engine.rules = [{"domain": "d", "rule": str(n), "count": 1 + n} for n in range(1005)]
    engine.rules.append({"domain": "", "rule": "", "count": 7})
    (family,) = [f for f in registry(engine).collect() if f.name == "ratelimitd_rule_matches"]
    found = {(s.labels["domain"], s.labels["rule"]): s.value for s in family.samples}
    assert len(found) == 1001
    assert found["d", "999"] == 1000
    assert found[OTHER, OTHER] == sum(range(1001, 1006)) + 7


def test_a_limit_that_has_a_name_keeps_it() -> None:
    names = Names(1)
    assert names.bound("d", "a") == ("d", "a", "", "")
    assert names.bound("d", "b") == (OTHER, OTHER, "", "")
    assert names.bound("d", "", "a") == (OTHER, "", OTHER, "")  # a list is another than the limit
    assert names.bound("d", "", "", "a") == (OTHER, "", "", OTHER)
    assert names.bound("d", "a") == ("d", "a", "", "")
    assert names.bound("d", "") == ("d", "", "", "")  # decided by no limit
