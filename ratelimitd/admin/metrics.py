"""/metrics: the engine's native counters in the Prometheus format, read when scraped.

Names follow the Prometheus conventions. Label values come from the policy, not from callers, and are bounded all the
same: the first MAX_LIMITS limits, lists and penalties and the first MAX_RULES rules that matched keep their names for
the life of the process, later ones are summed under "other". A limit and a list may share a name, so each has a label
of its own.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratelimitd.admin.context import Context
from ratelimitd.admin.store import StoreCollector

MAX_LIMITS = 1000
MAX_RULES = 1000
OTHER = "other"
PLACE = ("domain", "limit", "list", "penalty")  # what decided; at most one of the last three is not empty

GRPC_CODES = (  # by number

    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"ratelimitd_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ratelimitd_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(f"ratelimitd_{name}", text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


class Names:
    """Bounds the labels of limits, lists and penalties: one seen among the first MAX_LIMITS keeps its name, so no
    series ever goes backwards.
    """

    def __init__(self, maximum: int = MAX_LIMITS) -> None:
        self._maximum = maximum
        self._known: set[tuple[str, str, str, str]] = set()

    def bound(self, domain: str, limit: str, list_: str = "", penalty: str = "") -> tuple[str, str, str, str]:
        """The labels (domain, limit, list, penalty). At most one of the last three is given: they may share a name."""
        labels = domain, limit, list_, penalty
        if not (limit or list_ or penalty) or labels in self._known:
            return labels
        if len(self._known) < self._maximum:
            self._known.add(labels)
            return labels
        return OTHER, OTHER if limit else "", OTHER if list_ else "", OTHER if penalty else ""


class EngineCollector(Collector):
    """One scrape is one Engine.stats()."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._names = Names()
        self._rules = Names(MAX_RULES)

    def describe(self) -> Iterable[Metric]:
        return []  # registering must not scrape

    def collect(self) -> Iterator[Metric]:
        stats = self._context.engine.stats()
        yield from self._decisions(stats)
        yield from self._server(stats["server"], stats["latency_bounds_us"])
        yield from self._table(stats["table"])
        yield from self._scan(stats["scan"])
        yield from self._responses(stats["responses"])
        yield from self._collections(stats["collections"])
        yield from self._blocklists(stats["blocklists"])
        yield self._rule_matches(stats["rules"])
        yield from self._policy()
        text = "Checks to which more limits applied than one check counts."
        yield _counter("limits_truncated", text, stats["limits_truncated"])
        yield from self._bans(stats["bans"], stats["penalties"])
        text = "Checks to which more penalties applied than one check looks at."
        yield _counter("penalties_truncated", text, stats["penalties_truncated"])
        yield _counter("log_lost", "Decisions that the log's rate cap or a full ring left out.", stats["ring"]["lost"])
        yield from self._tls(stats["server"])
        build = {"version": self._context.version, "python": platform.python_version()}
        yield InfoMetricFamily("ratelimitd_build", "What is running.", value=build)

    def _decisions(self, stats: dict[str, Any]) -> Iterator[Metric]:
        sums: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for row in stats["decisions"]:
            place = self._names.bound(row["domain"], row["limit"], row["list"], row["penalty"])
            sums[*place, row["decision"], row["reason"] or "none"] += row["count"]
        family = CounterMetricFamily(
            "ratelimitd_decisions",
            "Checks by what was decided, and by what.",
            labels=[*PLACE, "decision", "reason"],
        )
        for labels, count in sums.items():
            family.add_metric(list(labels), count)
        yield family
        text = "Denials of limits, lists and penalties that are only watched."
        yield self._by_limit(stats["limits"], "shadow_denied", "shadow_denials", text, PLACE)
        text = "Checks that left a limit with at most a fifth."
        rows = [row for row in stats["limits"] if row["limit"]]
        yield self._by_limit(rows, "near", "near_limit", text, PLACE[:2])
        text = "Allowed checks that would be denied, were limits, lists and scan enforced."
        yield _labelled("shadow_denied_checks", text, "domain", stats["shadow_denied"].items())

    def _by_limit(
        self, rows: list[dict[str, Any]], column: str, name: str, text: str, labels: tuple[str, ...]
    ) -> Metric:
        sums: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for row in rows:
            place = self._names.bound(row["domain"], row["limit"], row["list"], row["penalty"])
            sums[place[: len(labels)]] += row[column]
        family = CounterMetricFamily(f"ratelimitd_{name}", text, labels=labels)
        for values, count in sums.items():
            family.add_metric(list(values), count)
        return family

    def _server(self, server: dict[str, Any], bounds_us: list[int]) -> Iterator[Metric]:
        cumulative = list(accumulate(server["latency"]))
        buckets = [(_seconds(bound), count) for bound, count in zip(bounds_us, cumulative, strict=False)]
        yield HistogramMetricFamily(
            "ratelimitd_check_duration_seconds",
            "From a check's bytes read to its answer written.",
            buckets=[*buckets, ("+Inf", cumulative[-1])],
            sum_value=server["latency_sum_ns"] / 1e9,
        )
        yield _labelled("calls", "Calls by method, and by kind of proxy that asks.", "method", server["calls"].items())
        errors = list(zip(GRPC_CODES, server["grpc_errors"], strict=False))[1:]
        yield _labelled("grpc_errors", "gRPC calls answered with an error.", "code", errors)
        errors = [(str(status), count) for status, count in server["http_errors"].items()]
        yield _labelled("http_errors", "HTTP requests that could not be decided.", "status", errors)
        yield _labelled("abuse", "Connections or calls that were cut short.", "kind", server["abuse"].items())
        yield _counter("shed", "Calls refused for our own overload.", server["shed"])
        yield _counter(
            "deadline_passed", "Calls whose deadline had passed before they were decided.", server["deadline_passed"]
        )
        yield from self._connections(server)
        yield _gauge(
            "unread_bytes", "Memory of answers that nobody reads and of calls in progress.", server["unread_bytes"]
        )
        traffic = (("read", server["bytes_read"]), ("written", server["bytes_written"]))
        yield _labelled("bytes", "Bytes on the wire.", "direction", traffic)
        yield _counter(
            "turns", "Turns of the workers' loops; calls over turns is how well writes are batched.", server["turns"]
        )

    def _connections(self, server: dict[str, Any]) -> Iterator[Metric]:
        yield _gauge("connections", "Open connections.", server["connections_accepted"] - server["connections_closed"])
        for name, text in (("accepted", "taken"), ("closed", "ended"), ("refused", "closed at once, being too many")):
            yield _counter(f"connections_{name}", f"Connections that were {text}.", server[f"connections_{name}"])

    def _table(self, table: dict[str, Any]) -> Iterator[Metric]:
        yield _gauge("keys", "Keys that are counted.", table["keys"])
        yield _gauge("keys_max", "Keys that may be counted at once.", table["max_keys"])
        yield _gauge("table_bytes", "Memory of the counters.", table["bytes"])
        yield _counter("keys_inserted", "Keys that began to be counted.", table["inserted"])
        yield _counter("keys_expired", "Keys forgotten after their window.", table["expired"])
        yield _counter("evictions", "Keys forgotten for want of room.", table["evicted"])
        yield _counter("sketched", "Checks counted in the shared sketch, as the table was full.", table["sketched"])

    def _collections(self, collections: dict[str, Any]) -> Iterator[Metric]:
        yield _gauge("collections", "Collections that rules keep between requests.", collections["records"])
        yield _gauge("collections_max", "Collections that may be kept at once.", collections["max_records"])
        yield _counter("collections_evicted", "Collections forgotten for want of room.", collections["evicted"])

    def _blocklists(self, blocklists: dict[str, Any]) -> Iterator[Metric]:
        text = "Questions that rules had to blocklists, by what they came to."
        results = ((result, blocklists[result]) for result in ("listed", "not_listed", "failed"))
        yield _labelled("blocklist_lookups", text, "result", results)
        text = "Questions to blocklists that found no room."
        yield _counter("blocklist_dropped", text, blocklists["dropped"])
        yield _gauge("blocklist_answers", "Answers of blocklists that are kept.", blocklists["answers"])
        yield _counter("blocklist_evicted", "Answers forgotten for want of room.", blocklists["evicted"])

    def _scan(self, scan: dict[str, Any]) -> Iterator[Metric]:
        yield _counter("scan_requests", "Requests that were scanned.", scan["scans"])
        yield _counter("scan_bytes", "Bytes that were scanned.", scan["bytes"])
        yield _counter("scan_matches", "Rules that matched.", scan["matches"])
        yield _counter("scan_errors", "Scans that failed.", scan["errors"])

    def _responses(self, responses: dict[str, Any]) -> Iterator[Metric]:
        decided = (("allow", responses["allowed"]), ("deny", responses["denied"]))
        yield _labelled("responses", "Responses that were inspected.", "decision", decided)
        yield _counter(
            "shadow_denied_responses",
            "Allowed responses that would be denied, were every rule enforced.",
            responses["shadow_denied"],
        )
        yield _counter("response_bytes", "Bytes of responses that were scanned.", responses["bytes"])

    def _bans(self, bans: dict[str, int], rows: list[dict[str, Any]]) -> Iterator[Metric]:
        text = "Bans that penalties made on this node."
        family = CounterMetricFamily("ratelimitd_bans", text, labels=["domain", "penalty"])
        sums: defaultdict[tuple[str, str], int] = defaultdict(int)
        for row in rows:
            domain, _, _, penalty = self._names.bound(row["domain"], "", "", row["penalty"])
            sums[domain, penalty] += row["bans"]
        for labels, count in sums.items():
            family.add_metric(list(labels), count)
        yield family
        yield _gauge("banned", "Keys that are banned now.", bans["banned"])
        yield _gauge("ban_records", "Keys that were banned and are not forgiven, the banned included.", bans["records"])
        yield _gauge("ban_records_max", "Keys that can be banned at once.", bans["max_bans"])
        text = "Bans that were lifted before their time, as too many keys were banned at once."
        yield _counter("bans_evicted", text, bans["evicted"])
        text = "Keys whose earlier bans were forgotten before they were forgiven, for want of room."
        yield _counter("bans_forgotten", text, bans["forgotten"])

    def _rule_matches(self, rows: list[dict[str, Any]]) -> Metric:
        """Of rules that matched, and of no others: a rule set has hundreds that never do."""
        sums: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for row in rows:
            place = self._rules.bound(row["domain"], row["rule"])[:2] if row["rule"] else (OTHER, OTHER)
            sums[place] += row["count"]
        family = CounterMetricFamily("ratelimitd_rule_matches", "Matches by rule.", labels=["domain", "rule"])
        for labels, count in sums.items():
            family.add_metric(list(labels), count)
        return family

    def _tls(self, server: dict[str, Any]) -> Iterator[Metric]:
        """Nothing about certificates when no TLS is served."""
        kinds = (("full", server["tls_full"]), ("resumed", server["tls_resumed"]))
        yield _labelled("tls_handshakes", "TLS handshakes that succeeded.", "kind", kinds)
        text = "TLS handshakes that failed."
        yield _labelled("tls_handshake_failures", text, "reason", server["tls_failures"].items())
        tls = self._context.tls()
        if tls is None:
            return
        text = "When a certificate expires: ours, and the first of the client authorities."
        expiry = GaugeMetricFamily("ratelimitd_tls_certificate_expiry_timestamp_seconds", text, labels=["certificate"])
        expiry.add_metric(["server"], tls.not_after)
        if tls.client_ca_not_after:
            expiry.add_metric(["client_ca"], tls.client_ca_not_after)
        yield expiry
        text = "1 when the last load of certificates succeeded; 0: older ones are in use."
        yield _gauge("tls_reload_success", text, float(tls.ok))
        results = (("success", tls.successes), ("failure", tls.failures))
        yield _labelled("tls_reloads", "Loads of certificates, the first included.", "result", results)

    def _policy(self) -> Iterator[Metric]:
        reload = self._context.reload()
        results = (("success", reload.successes), ("failure", reload.failures))
        yield _labelled("reloads", "Loads of the policy, the first included.", "result", results)
        yield _gauge(
            "reload_success", "1 when the last load succeeded; 0: an older policy is in force.", float(reload.ok)
        )
        yield _gauge("reload_timestamp_seconds", "When the policy in force was loaded.", reload.loaded_at)
        yield _gauge("policy_generation", "Policies published since start.", reload.generation)
        yield InfoMetricFamily("ratelimitd_policy", "The policy in force.", value={"digest": reload.digest})


def _seconds(microseconds: int) -> str:
    """10 -> "1e-05": the shortest form that a scraper reads back as the same number."""
    return repr(microseconds / 1e6)


def routes(context: Context) -> list[Route]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(EngineCollector(context))
    registry.register(StoreCollector(context.store, context.rates))
    ProcessCollector(registry=registry)

    def metrics(request: Request) -> Response:  # in a thread: a swap may make the engine's stats wait
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": media_type})

    return [Route("/metrics", metrics)]
