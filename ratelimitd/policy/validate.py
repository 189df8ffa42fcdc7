"""What a well-formed policy must mean. Every check reports all that it finds; none stops the others.

A document may have gaps, where something had no shape: nothing is judged by what is not there (`Findings.whole`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ratelimitd.errors import Diagnostic
from ratelimitd.policy import globs, names, rates, units
from ratelimitd.policy.nodes import Document, Path
from ratelimitd.policy.patterns import pattern_error, whole_value_error
from ratelimitd.policy.plan import Source
from ratelimitd.policy.protostruct import MAX_METADATA, encode_struct
from ratelimitd.policy.schema import (
    ConditionSpec,
    ExcludeSpec,
    LimitSpec,
    ListSpec,
    OverrideSpec,
    PenaltySpec,
    PolicySpec,
    ProfileSpec,
    RulesetSpec,
    RuleSpec,
    ScanSpec,
    TestSpec,
    TriggerSpec,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
BASE_IDS = dict.fromkeys(("200000", "200001", "200002", "200003", "200004"), "one of our own")
TEXT_OPERATORS = ("any", "exact", "prefix", "suffix", "glob", "regex")
MAX_APPLYING = 32  # TABLE_MAX_HITS of the engine
MAX_STEPS = 8  # BAN_MAX_STEPS of the engine
MAX_TRIGGERS = 4  # SNAPSHOT_MAX_TRIGGERS
MAX_BAN_MS = 366 * 86_400_000
SCAN_HINT = "add scan: {mode: detect, rulesets: [builtin]}"
ADDRESSES = (Source.CLIENT_IP, Source.HEADER, Source.COOKIE, Source.QUERY, Source.ATTRIBUTE)


@dataclass(slots=True)
class Known:
    """The rules of the rule sets: ids, with where each stands, and tags. `complete`: there are no others."""

    ids: dict[str, str] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    complete: bool = True


@dataclass(slots=True)
class Findings:
    """Where checks report to."""

    document: Document
    spec: PolicySpec
    known: Known = field(default_factory=Known)
    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)

    def whole(self, *paths: Path) -> bool:
        """Is all that stands there, or does not, as it was written?"""
        return all(map(self.document.whole, paths))

    def error(self, code: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.errors.append(self.document.diagnostic(code, message, path, hint=hint, key=key))

    def warning(self, code: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.warnings.append(self.document.diagnostic(code, message, path, hint=hint, key=key, severity="warning"))


def validate(document: Document, spec: PolicySpec, known: Known) -> Findings:
    """Checks one domain."""
    findings = Findings(document, spec, known)
    for check in CHECKS:
        check(findings)
    return findings


def check_client(f: Findings) -> None:
    client = f.spec.client
    if client.trusted_proxies and client.trusted_hops:
        f.error(
            "P314",
            "trusted_proxies and trusted_hops exclude each other",
            ("client", "trusted_hops"),
            "keep one",
            key=True,
        )
    trusted = client.trusted_proxies or client.trusted_hops
    known = f.whole(("client", "trusted_proxies"), ("client", "trusted_hops"))
    if client.header.lower() != "x-forwarded-for" and not trusted and known:
        hint = "say who sets it: trusted_proxies or trusted_hops"
        f.warning("P404", "header has no effect: nobody is trusted to set it", ("client", "header"), hint, key=True)
    if names.parse_source(f"header.{client.header}", key=False) is None:
        f.error("P206", f"'{client.header[:64]}' is not a header name", ("client", "header"))


def check_lists(f: Findings) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for name, spec in f.spec.lists.items():
        path: Path = ("lists", name)
        check_match(f, spec.match, (*path, "match"))
        action_known = f.whole((*path, "allow"), (*path, "deny"))
        if (spec.allow is None) == (spec.deny is None):
            if spec.allow is not None or action_known:
                hint = "write two lists for both"
                f.error("P309", f"list '{name}' needs one of allow and deny", path, hint, key=True)
            continue
        action = "allow" if spec.deny is None else "deny"
        if action == "allow" and "status" in spec.model_fields_set and f.whole((*path, "deny")):
            f.error("P309", "an allow list has no status", (*path, "status"), "remove it", key=True)
        networks = spec.allow if spec.deny is None else spec.deny
        if not networks and action_known:
            f.warning("P404", f"list '{name}' is empty", (*path, action))
        if spec.match is None and f.whole((*path, "match")):
            check_networks(f, name, spec, (*path, action), seen)


def check_networks(f: Findings, name: str, spec: ListSpec, path: Path, seen: dict[str, tuple[str, str]]) -> None:
    """Is a network already in a list, of those without a match? `seen`: network -> (action, list)."""
    action = str(path[-1])
    for index, text in enumerate((spec.allow if spec.deny is None else spec.deny) or ()):
        network = str(units.parse_network(text))
        if network in seen:
            before, other = seen[network]
            report = f.error if before != action else f.warning
            code = "P310" if before != action else "P405"
            message = f"{network} is already in list '{other}' ({before}), which wins"
            report(code, message, (*path, index), "remove one")
        elif spec.mode == "enforce" and f.whole((*path[:-1], "mode")):
            seen[network] = (action, name)


def check_counts(f: Findings) -> None:
    """What the engine looks at in one check is bounded: nothing may fall beyond that unseen."""
    if len(f.spec.lists) > MAX_APPLYING and any(item.match is not None for item in f.spec.lists.values()):
        message = f"{len(f.spec.lists)} lists: at most {MAX_APPLYING} where one has a match"
        f.error("P319", message, ("lists",), "put more networks into one list", key=True)
    kinds: tuple[tuple[str, Mapping[str, LimitSpec | PenaltySpec]], ...]
    kinds = (("limits", f.spec.limits), ("penalties", f.spec.penalties))
    for kind, items in kinds:
        always = [
            name
            for name, item in items.items()
            if (item.match is None or {} in item.match) and f.whole((kind, name, "match"))
        ]
        if len(always) > MAX_APPLYING:
            message = f"{len(always)} {kind} apply to every request: at most {MAX_APPLYING}"
            f.error("P319", message, (kind, always[MAX_APPLYING]), "give some a match", key=True)


def check_match(f: Findings, match: list[dict[str, ConditionSpec]] | None, path: Path) -> None:
    if match is None:
        return
    if not match and f.whole(path):
        f.error("P306", "matches nothing", path, "remove the key to match everything", key=True)
    for index, mapping in enumerate(match):
        for key, condition in mapping.items():
            parsed = names.parse_source(key, key=False)
            if parsed:
                check_condition(f, parsed[0], condition, (*path, index, key))


def operators_of(condition: ConditionSpec) -> list[tuple[str, list[str]]]:
    """The operators of a condition that are set, with their alternatives."""
    found = ((name, getattr(condition, name)) for name in (*TEXT_OPERATORS, "cidr"))
    return [(name, values) for name, values in found if values is not None]


def check_condition(
    f: Findings, source: Source, condition: ConditionSpec, path: Path, *, negated: bool = False
) -> None:
    operators = operators_of(condition)
    count = len(operators) + (condition.present is not None) + (condition.not_ is not None)
    if count == 0 and f.whole(path):
        f.error(
            "P306",
            "a condition without an operator",
            path,
            f"one of {', '.join(names.OPERATORS)}, present, not",
            key=True,
        )
    if condition.present is False and count > 1:
        f.error("P306", "present: false excludes every other operator", (*path, "present"))
    for operator, values in operators:
        check_values(f, source, operator, values, condition, (*path, operator))
    if condition.not_ is None:
        return
    inner = condition.not_
    if negated or inner.not_ is not None or inner.present is not None:
        f.error("P306", "`not` takes operators for values only", (*path, "not"), "write several conditions", key=True)
    else:
        check_condition(f, source, inner, (*path, "not"), negated=True)


def check_values(
    f: Findings, source: Source, operator: str, values: list[str], condition: ConditionSpec, path: Path
) -> None:
    if not values and f.whole(path):
        f.error("P306", "no value to compare with", path)
    if operator == "cidr" and source not in ADDRESSES:
        f.error(
            "P307",
            "cidr compares addresses only",
            path,
            "use it on client.ip, a header, cookie, query parameter or attribute",
        )
    if source is Source.CLIENT_IP and operator not in ("any", "cidr"):
        f.error("P307", f"client.ip is compared by network, not by {operator}", path, "list networks or addresses")
        return
    for index, value in enumerate(values):
        check_value(f, source, operator, value, condition, (*path, index))


def check_value(f: Findings, source: Source, operator: str, value: str, condition: ConditionSpec, path: Path) -> None:
    if source is Source.CLIENT_IP and operator == "any":
        try:
            units.parse_network(value)
        except units.HostBitsError as error:
            f.error("P207", str(error), path, f"write {error.fixed}")
        except ValueError as error:
            f.error("P207", str(error), path)
        return
    if operator == "regex":
        if message := whole_value_error(value):
            f.error("P305", f"bad pattern: {message}", path)
        return
    if not value and operator in ("prefix", "suffix", "glob"):
        f.error("P306", f"an empty {operator} holds for everything", path, "use present: true")
    if operator in ("any", "glob") and len(value.encode("utf-8", "surrogatepass")) >= globs.MAX_BYTES:
        f.error("P205", f"a glob has less than {globs.MAX_BYTES} bytes", path)
    if source in (Source.PATH, Source.RAW_PATH):
        check_path(f, source, operator, value, path)
    miswritten = source is Source.METHOD and value.upper() in METHODS and value != value.upper()
    if miswritten and not condition.ignore_case and f.whole((*path[:-2], "ignore_case")):
        f.warning("P401", f"methods are case-sensitive: '{value}' never comes", path, f"write {value.upper()}")
    if source is Source.HOST and operator in ("any", "exact") and ":" in value and not value.startswith("["):
        f.warning(
            "P404",
            f"'{value}' never matches: host is compared without its port",
            path,
            f"write {value.partition(':')[0]}",
        )


def check_path(f: Findings, source: Source, operator: str, value: str, path: Path) -> None:
    if operator in ("any", "glob") and (message := globs.path_problem(value)):
        f.error("P317", message, path)
        return
    if operator in ("exact", "prefix") and not value.startswith("/"):
        f.error("P317", "a path begins with '/'", path)
        return
    if "?" in value:
        f.warning(
            "P404", f"'{value}' never matches: the path is compared without the query", path, "match query.<name>"
        )
    elif source is Source.PATH and ("%" in value or "//" in value or "/../" in value or "/./" in value):
        f.warning(
            "P404",
            f"'{value}' never matches: path is compared decoded and normalised",
            path,
            "use raw_path for the path as sent",
        )


def check_limits(f: Findings) -> None:
    for name, spec in f.spec.limits.items():
        path: Path = ("limits", name)
        check_match(f, spec.match, (*path, "match"))
        check_key(f, spec, path)
        check_rate(f, spec, path)
        for pattern, override in spec.overrides.items():
            check_override(f, spec, pattern, override, (*path, "overrides", pattern))
        check_overrides(f, spec, (*path, "overrides"))
        if spec.count == "scan_score" and spec.score_cost:
            message, hint = "score_cost belongs to limits that count hits", "write cost: what each point costs"
            f.error("P302", message, (*path, "score_cost"), hint, key=True)
        check_consistency(f, spec, path)
        check_answer(f, name, spec, path)


def check_answer(f: Findings, name: str, spec: LimitSpec, path: Path) -> None:
    """What only ShouldRateLimit knows."""
    for index, other in enumerate(spec.replaces):
        check_name(f, "limit", other, f.spec.limits, (*path, "replaces", index), f.whole(("limits",)))
        if other == name:
            f.error("P503", f"limit '{name}' replaces itself", (*path, "replaces", index), "remove it")
    if not spec.metadata:
        return
    if not spec.quota and f.whole((*path, "quota")):
        f.warning("P404", "metadata has no effect without quota", (*path, "metadata"), "add `quota: true`", key=True)
    if len(encode_struct(spec.metadata)) > MAX_METADATA:
        f.error("P205", f"'metadata' must be at most {MAX_METADATA} bytes", (*path, "metadata"), key=True)


def check_penalties(f: Findings) -> None:
    for name, spec in f.spec.penalties.items():
        path: Path = ("penalties", name)
        check_match(f, spec.match, (*path, "match"))
        check_key(f, spec, path)
        if not spec.key and f.whole((*path, "key")):
            f.error("P326", f"penalty '{name}' would ban everybody", (*path, "key"), "name a part, like client.ip")
        for index, trigger in enumerate(spec.after):
            check_trigger(f, spec, trigger, (*path, "after", index))
        check_spans(f, spec, path)


def check_spans(f: Findings, spec: PenaltySpec, path: Path) -> None:
    """The times of a penalty, and how many of them the engine keeps."""
    for key, items, most in (("ban", spec.ban, MAX_STEPS), ("after", spec.after, MAX_TRIGGERS)):
        if len(items) > most:
            f.error("P205", f"at most {most} in {key}", (*path, key))
    if not spec.ban and f.whole((*path, "ban")):
        f.error("P326", f"penalty '{path[-1]}' bans for no time", (*path, "ban"), "like `ban: 10m`")
    for index, step in enumerate(spec.ban):
        if not 1 <= step <= MAX_BAN_MS:
            f.error("P303", f"a ban lasts 1ms to {units.format_duration(MAX_BAN_MS)}", (*path, "ban", index))
    if spec.forgive is None:
        return
    if not 1 <= spec.forgive <= units.MAX_WINDOW_MS:
        longest = units.format_duration(units.MAX_WINDOW_MS)
        f.error("P303", f"forgive is 1ms to {longest}", (*path, "forgive"))
    window = max((trigger.within for trigger in spec.after), default=0)
    if spec.forgive < window and f.whole((*path, "after")):
        message = "denials would be forgiven while they still count"
        f.error("P326", message, (*path, "forgive"), f"at least {units.format_duration(window)}, the longest `within`")


def check_trigger(f: Findings, penalty: PenaltySpec, spec: TriggerSpec, path: Path) -> None:
    if spec.denials is None and spec.score is None and f.whole(path):
        f.error("P326", "asks for nothing", path, "like {denials: 10, within: 5m}, or {score: 50, within: 10m}")
    if not 1 <= spec.within <= units.MAX_WINDOW_MS:
        longest = units.format_duration(units.MAX_WINDOW_MS)
        f.error("P303", f"a window lasts 1ms to {longest}", (*path, "within"))
    if spec.of is not None and spec.denials is None and f.whole((*path, "denials")):
        f.error("P326", "`of` says whose denials count, and none are asked for", (*path, "of"), "add denials", key=True)
    if spec.of == [] and f.whole((*path, "of")):
        f.error("P326", "nobody's denials count", (*path, "of"), "remove it to count all")
    scan_off = not scan_is_on(f) and f.whole(("scan",))
    if spec.score is not None and scan_off:
        f.warning("P404", "this never comes: the scan is off", (*path, "score"), SCAN_HINT)
    for index, text in enumerate(spec.of or ()):
        kind, name = names.parse_objector(text) or ("", "")
        place = (*path, "of", index)
        if kind == "scan" and scan_off:
            f.warning("P404", "this never comes: the scan is off", place, SCAN_HINT)
        if kind == "limit" and name not in f.spec.limits and f.whole(("limits", name)):
            f.error("P327", f"no limit '{name}'", place, names.did_you_mean(name, f.spec.limits))
        elif kind == "limit" and name in f.spec.limits and f.whole(("limits", name, "mode")):
            watched = f.spec.limits[name].mode == "shadow" and penalty.mode != "shadow" and f.spec.mode != "shadow"
            if watched:
                f.warning("P404", f"limit '{name}' is only watched: it denies nothing", place, "or watch the penalty")


def scan_is_on(f: Findings) -> bool:
    scan = f.spec.scan
    return scan.mode != "off" or any(route.mode not in ("off", None) for route in scan.routes)


def check_consistency(f: Findings, spec: LimitSpec, path: Path) -> None:
    if spec.consistency == "local" and spec.on_store_loss != "local":
        message = "on_store_loss has no effect: a local limit never asks the store"
        f.warning("P404", message, (*path, "on_store_loss"), "remove it", key=True)
    if spec.consistency != "leased":
        return
    where, hint = (*path, "consistency"), "write synced"
    if spec.algorithm == "token_bucket":
        f.error("P313", "a token bucket cannot be leased: leases are of hits in a window", where, hint)
    elif spec.buckets > 1:
        f.error("P313", "a window with buckets cannot be leased", where, "remove buckets, or write synced")
    if f.spec.consume == "always":
        message = "a limit that counts what it denies cannot be leased: it would be granted what nobody may use"
        f.error("P313", message, where, "write synced, or another `consume`")
    if spec.count == "scan_score" or spec.score_cost:
        f.error("P313", "a score cannot be leased: it is known only after the request was let in", where, hint)


def check_key(f: Findings, spec: LimitSpec | PenaltySpec, path: Path) -> None:
    if spec.key is None and f.whole((*path, "key")):
        f.warning(
            "P402",
            f"limit '{path[-1]}' has no key: all requests share one counter",
            path,
            "write `key: []` if you mean it",
            key=True,
        )
    if spec.key is not None and len(spec.key) > 8:
        f.error("P205", "a key has at most 8 parts", (*path, "key"))
    for index, part in enumerate(spec.key or ()):
        place = (*path, "key", index)
        if part in (spec.key or ())[:index]:
            f.error("P308", f"'{part}' is in the key twice", place, "remove one")
        parsed = names.parse_source(part, key=True)
        if parsed is None or parsed[0] is not Source.PATH_PARAM or not f.whole((*path, "match")):
            continue
        if not bound(spec, name := parsed[1].decode()):
            hint = f"match a path with {{{name}}} in it, like /users/{{{name}}}/*"
            what = "limit" if isinstance(spec, LimitSpec) else "penalty"
            f.error("P304", f"path parameter '{name}' is not bound by the {what}'s path", place, hint)


def bound(spec: LimitSpec | PenaltySpec, name: str) -> bool:
    """Does every request that it matches have this path parameter?"""

    def binds(condition: ConditionSpec | None) -> bool:
        values = [] if condition is None else condition.glob if condition.glob is not None else condition.any
        return bool(values) and all(name in globs.parameters(value) for value in values or ())

    return bool(spec.match) and all(binds(mapping.get("path")) for mapping in spec.match or ())


def check_rate(f: Findings, spec: LimitSpec, path: Path) -> None:
    if spec.window is not None:
        check_length(f, spec, spec.window, (*path, "window"))
    if not f.whole((*path, "algorithm")):
        return
    if spec.algorithm == "token_bucket":
        check_bucket(f, spec, path)
    else:
        check_window(f, spec, path)


def check_length(f: Findings, spec: LimitSpec, window: int, where: Path) -> None:
    fixed = spec.algorithm == "fixed_window"
    most = units.MAX_FIXED_WINDOW_MS if fixed else units.MAX_WINDOW_MS
    if not 1 <= window <= most:
        hint = "" if fixed else f"a fixed window may last {units.format_duration(units.MAX_FIXED_WINDOW_MS)}"
        f.error("P303", f"a window lasts 1ms to {units.format_duration(most)}", where, hint if window > most else "")
    elif window > units.MAX_WINDOW_MS and window % 8:
        f.error("P303", "a window of more than 49 days lasts whole seconds", where)
    elif window > units.MAX_WINDOW_MS and spec.consistency == "leased":
        f.error("P313", "a window of more than 49 days cannot be leased", where, "write consistency: synced")


def check_window(f: Findings, spec: LimitSpec, path: Path) -> None:
    if spec.buckets > 1 and spec.algorithm == "fixed_window":
        f.error("P302", "buckets belong to sliding windows", (*path, "buckets"), "remove it", key=True)
    for key in ("rate", "burst"):
        if getattr(spec, key) is not None:
            hint = "add `algorithm: token_bucket`, or write limit and window"
            f.error("P302", f"{key} belongs to token buckets", (*path, key), hint, key=True)
            return
    if spec.unlimited:
        if spec.limit is not None:
            f.error("P302", "unlimited and limit exclude each other", (*path, "limit"), "keep one", key=True)
    elif f.whole((*path, "unlimited")):
        for key, example in (("limit", "limit: 100"), ("window", "window: 1m")):
            if getattr(spec, key) is None and f.whole((*path, key)):
                f.error("P201", f"missing key '{key}'", path, f"like `{example}`", key=True)


def check_bucket(f: Findings, spec: LimitSpec, path: Path) -> None:
    for key in ("limit", "window"):
        if getattr(spec, key) is not None:
            f.error(
                "P302",
                f"a token bucket has no {key}",
                (*path, key),
                "write rate and burst, like rate: 500/s, burst: 2000",
                key=True,
            )
    if spec.buckets > 1:
        f.error("P302", "buckets belong to sliding windows", (*path, "buckets"), "remove it", key=True)
    if spec.rate is None:
        if f.whole((*path, "rate")):
            f.error("P201", "missing key 'rate'", path, "like `rate: 500/s`", key=True)
    elif f.whole((*path, "burst")):
        check_bucket_rate(f, spec.rate, spec.burst, (*path, "rate"))


def check_bucket_rate(f: Findings, rate: tuple[int, int], burst: int | None, path: Path) -> None:
    if rate[1] < 1 or rate[0] > units.MAX_COUNT:
        f.error("P303", f"a rate is at most {units.MAX_COUNT} hits in at least 1ms", path)
        return
    try:
        rates.bucket_rate(rate, burst)
    except ValueError as error:
        f.error("P303", str(error), path)
        return
    if (share := rates.rounding(rate, burst)) > 0.01:
        hint = "a larger burst is more exact"
        f.warning("P403", f"times are whole milliseconds: this rate will be off by {share * 100:.0f} %", path, hint)


def check_override(f: Findings, spec: LimitSpec, pattern: str, override: OverrideSpec, path: Path) -> None:
    if not f.whole((*path[:-2], "algorithm")):
        return
    bucket = spec.algorithm == "token_bucket"
    wanted = ("rate", "burst") if bucket else ("limit",)
    for key in ("limit", "rate", "burst"):
        if getattr(override, key) is not None and key not in wanted:
            what = "a token bucket" if bucket else "a window"
            f.error("P308", f"{key} does not fit {what}", (*path, key), f"use {' or '.join(wanted)}", key=True)
    given = [key for key in wanted if getattr(override, key) is not None]
    if override.unlimited == bool(given):
        if given or f.whole(path):
            what = " or ".join((*wanted, "unlimited"))
            f.error("P308", f"override '{pattern[:64]}' needs one of {what}", path, key=True)
    elif bucket and given and f.whole(path) and (rate := override.rate or spec.rate):
        check_bucket_rate(f, rate, override.burst, (*path, given[0]))


def check_overrides(f: Findings, spec: LimitSpec, path: Path) -> None:
    """Do the patterns fit the key?"""
    if not spec.overrides or not f.whole((*path[:-1], "key")):
        return
    if not spec.key:
        f.error("P308", "overrides need a key", path, key=True)
        return
    seen: dict[str, str] = {}
    for pattern in spec.overrides:
        place = (*path, pattern)
        if spec.key == ["client.ip"]:
            if "*" in pattern:
                f.error(
                    "P308",
                    f"'{pattern[:64]}': addresses are matched by network",
                    place,
                    "write a network like 10.0.0.0/8",
                    key=True,
                )
                continue
            try:
                network = str(units.parse_network(pattern))
            except units.HostBitsError as error:
                f.error("P207", str(error), place, f"write {error.fixed}", key=True)
                continue
            except ValueError as error:
                f.error("P207", str(error), place, key=True)
                continue
            if network in seen:
                f.error(
                    "P308", f"'{pattern}' and '{seen[network]}' are the same network", place, "remove one", key=True
                )
            seen[network] = pattern
        elif "*" not in pattern and pattern.count("|") < len(spec.key) - 1:
            hint = f"join the {len(spec.key)} parts of the key by '|', like {'|'.join('*' for _ in spec.key)}"
            f.error("P308", f"'{pattern[:64]}' can never be a key of this limit", place, hint, key=True)


def check_scan(f: Findings) -> None:
    scan = f.spec.scan
    seen: dict[str, Path] = {}
    check_way(f, scan, ("scan",), seen)
    for name, profile in scan.profiles.items():
        check_way(f, profile, ("scan", "profiles", name), seen)
    for index, text in enumerate(scan.disable):
        if f.known.complete:
            check_known(f, text, f.known.ids, ("scan", "disable", index))
    for index, route in enumerate(scan.routes):
        path: Path = ("scan", "routes", index)
        check_match(f, route.match, (*path, "match"))
        if route.profile is not None and route.profile not in scan.profiles and f.whole(("scan", "profiles")):
            hint = names.did_you_mean(route.profile, scan.profiles)
            f.error("P322", f"no profile '{route.profile}'", (*path, "profile"), hint)
        if route.mode is None and route.profile is None and f.whole(path):
            f.warning("P404", "this route changes nothing", path, "give it a mode or a profile", key=True)
    if scan.profile_attribute is not None and not scan.profiles and f.whole(("scan", "profiles")):
        message, hint = "profile_attribute has no effect: there are no profiles", "add some, or remove it"
        f.warning("P404", message, ("scan", "profile_attribute"), hint, key=True)
    check_rules_to_scan(f, scan)


def check_rules_to_scan(f: Findings, scan: ScanSpec) -> None:
    on = scan_is_on(f)
    known = all(f.whole(("scan", key)) for key in ("rulesets", "rules", "profiles"))
    if on and known and not any((w.rules or w.rulesets) for w in (scan, *scan.profiles.values())):
        f.warning("P404", "scan has no rules", ("scan",), "add `rulesets: [builtin]`, or rules", key=True)
    for name, limit in f.spec.limits.items():
        key = "count" if limit.count == "scan_score" else "score_cost"
        if (key == "count" or limit.score_cost) and not on and f.whole(("scan",)):
            message = f"limit '{name}' counts what the scan finds, and the scan is off"
            f.warning("P404", message, ("limits", name, key), SCAN_HINT)


def check_way(f: Findings, way: ProfileSpec, path: Path, seen: dict[str, Path]) -> None:
    """Scan itself, or one of its profiles. `seen`: ids of short rules so far."""
    for index, item in enumerate(way.rulesets or ()):
        check_ruleset(f, item, (*path, "rulesets", index))
    check_paranoia(f, way, path)
    for index, rule in enumerate(way.rules):
        place = (*path, "rules", index)
        if f.whole((*place, "id")):
            check_id(f, rule, (*place, "id"), seen)
        check_rule(f, rule, place)
    for index, excluded in enumerate(way.exclude):
        check_exclusion(f, excluded, (*path, "exclude", index))
    for text in way.rule_modes:
        check_span(f, text, (*path, "rule_modes", text), key=True)


def check_ruleset(f: Findings, item: RulesetSpec, path: Path) -> None:
    kinds = [key for key in ("name", "crs", "seclang") if getattr(item, key) is not None]
    if len(kinds) != 1 and f.whole(path):
        f.error("P323", "a rule set is one of builtin, {crs: DIR} and {seclang: FILES}", path, "keep one")
    if item.setup is not None and item.crs is None and f.whole(path):
        f.error(
            "P323", "setup belongs to crs", (*path, "setup"), "list the file in seclang, before the others", key=True
        )


def check_paranoia(f: Findings, way: ProfileSpec, path: Path) -> None:
    scan = f.spec.scan
    blocking = way.paranoia if way.paranoia is not None else scan.paranoia
    if way.detection_paranoia is not None and way.detection_paranoia < (blocking or 1):
        message = f"detection_paranoia {way.detection_paranoia} is below paranoia {blocking}"
        f.error("P324", message, (*path, "detection_paranoia"), "rules that count must run: raise it, or remove it")
    elif way.paranoia is not None and way.detection_paranoia is None and way.paranoia > (scan.detection_paranoia or 4):
        message = f"paranoia {way.paranoia} is above detection_paranoia {scan.detection_paranoia} of scan"
        f.error("P324", message, (*path, "paranoia"), "give the profile a detection_paranoia of its own")


def check_exclusion(f: Findings, item: ExcludeSpec, path: Path) -> None:
    check_match(f, item.match, (*path, "match"))
    if not (item.rules or item.tags or item.targets) and f.whole(path):
        f.error("P325", "an exclusion of nothing", path, "name rules, tags or targets")
    for index, text in enumerate(item.rules):
        check_span(f, text, (*path, "rules", index))
    for index, tag in enumerate(item.tags):
        if rules_known(f) and tag not in tags_of(f):
            f.error(
                "P316", f"no rule has the tag '{tag[:64]}'", (*path, "tags", index), names.did_you_mean(tag, tags_of(f))
            )


def check_span(f: Findings, text: str, path: Path, *, key: bool = False) -> None:
    """Does an id, or a range of ids, mean a rule that there is?"""
    if rules_known(f):
        check_known(f, text, ids_of(f), path, key=key)


def check_known(f: Findings, text: str, known: dict[str, str], path: Path, *, key: bool = False) -> None:
    span = names.parse_span(text)
    if span is not None and span.first != span.last:
        if not any(span.first <= int(name) <= span.last for name in known if name.isdigit()):
            f.error("P316", f"no rule in {text}", path, key=key)
    elif text not in known:
        f.error("P316", f"no rule '{text}'", path, names.rule_meant(text, known), key=key)


def ids_of(f: Findings) -> dict[str, str]:
    """Of every rule that there is, with where it stands when it is a rule set's."""
    ways = (f.spec.scan, *f.spec.scan.profiles.values())
    return {**BASE_IDS, **f.known.ids, **{rule.id: "" for way in ways for rule in way.rules}}


def tags_of(f: Findings) -> set[str]:
    ways = (f.spec.scan, *f.spec.scan.profiles.values())
    return f.known.tags | {tag for way in ways for rule in way.rules for tag in rule.tags}


def check_id(f: Findings, rule: RuleSpec, path: Path, seen: dict[str, Path]) -> None:
    if rule.id in f.known.ids:
        f.error("P311", f"rule {rule.id} is {f.known.ids[rule.id]}", path, "choose another id")
    elif rule.id in seen:
        line = f.document.position(seen[rule.id]).line
        f.error("P311", f"duplicate rule '{rule.id}'", path, f"it is first used on line {line}")
    seen.setdefault(rule.id, path)


def check_rule(f: Findings, rule: RuleSpec, path: Path) -> None:
    known = f.whole((*path, "pattern"), (*path, "patterns"))
    if (rule.pattern is None) == (rule.patterns is None) and (known or rule.pattern is not None):
        f.error("P312", f"rule '{rule.id}' needs one of pattern and patterns", path)
    if rule.patterns is not None and not rule.patterns and known:
        f.error("P312", f"rule '{rule.id}' has no pattern", (*path, "patterns"))
    if rule.action is None and rule.score == 0 and f.whole((*path, "action")):
        f.warning("P404", f"rule '{rule.id}' has no effect: its score is 0", (*path, "score"))
    if f.whole((*path, "targets")):
        check_targets(f, rule, (*path, "targets"))
    where = [("pattern",)] if rule.patterns is None else [("patterns", i) for i in range(len(rule.patterns))]
    for place, pattern in zip(where, patterns_of(rule), strict=False):
        if message := pattern_error(pattern, rule.ignore_case):
            f.error("P305", f"bad pattern: {message}", (*path, *place))


def check_targets(f: Findings, rule: RuleSpec, path: Path) -> None:
    targets = [ref for text in rule.targets if (ref := names.parse_target(text))]
    if not any(not ref.exclude for ref in targets):
        f.error("P312", f"rule '{rule.id}' looks at nothing", path, "name a target, like args")
    for index, ref in enumerate(targets):
        if ref.exclude and not any(r.target is ref.target and not r.exclude for r in targets):
            f.error("P312", f"'{rule.targets[index]}' leaves out what is not looked at", (*path, index))


def patterns_of(rule: RuleSpec) -> list[str]:
    return [*([rule.pattern] if rule.pattern is not None else []), *(rule.patterns or ())]


def rules_known(f: Findings) -> bool:
    """Do we know the id of every rule there is?"""
    ways: list[tuple[Path, ProfileSpec]] = [(("scan",), f.spec.scan)]
    ways += [(("scan", "profiles", name), profile) for name, profile in f.spec.scan.profiles.items()]
    for path, way in ways:
        ids = [(*path, "rules", index, "id") for index in range(len(way.rules))]
        if not f.document.whole((*path, "rules"), below=False) or not f.whole((*path, "rulesets"), *ids):
            return False
    return f.known.complete and f.document.whole(("scan", "profiles"), below=False)


def check_tests(f: Findings) -> None:
    rules = ids_of(f).keys() - set(f.spec.scan.disable)
    rules_are_known = rules_known(f) and f.whole(("scan", "disable"))
    for index, test in enumerate(f.spec.tests):
        path: Path = ("tests", index)
        expect = test.expect
        check_name(f, "limit", expect.limit, f.spec.limits, path, f.whole(("limits", expect.limit or "")))
        check_name(f, "list", expect.list, f.spec.lists, path, f.whole(("lists", expect.list or "")))
        check_name(f, "penalty", expect.penalty, f.spec.penalties, path, f.whole(("penalties", expect.penalty or "")))
        check_name(f, "rule", expect.rule, sorted(rules), path, rules_are_known)
        check_requests(f, test, path)
        if not expect.model_fields_set and f.whole((*path, "expect")):
            f.error("P315", "a test that expects nothing", (*path, "expect"), "say how many are allowed and denied")


def check_name(f: Findings, key: str, name: str | None, known: Iterable[str], path: Path, all_known: bool) -> None:
    """Does the test expect something of a limit, list or rule that there is?"""
    if name is not None and all_known and name not in known:
        f.error("P315", f"no {key} '{name}'", (*path, "expect", key), names.did_you_mean(name, known))


def check_requests(f: Findings, test: TestSpec, path: Path) -> None:
    known = f.whole((*path, "requests"))
    if not test.requests and known:
        f.error("P315", "a test without requests", (*path, "requests"))
    total = sum(request.repeat for request in test.requests)
    if total > 100_000:
        f.error("P205", f"a test sends at most 100000 requests, this one {total}", (*path, "requests"))
    told = [n for n in (test.expect.allowed, test.expect.denied) if n is not None]
    if known and ((len(told) == 2 and sum(told) != total) or any(n > total for n in told)):
        message = f"the test sends {total} requests, its expectations count {sum(told)}"
        f.error("P315", message, (*path, "expect"), key=True)
    for number, request in enumerate(test.requests):
        if "/" in request.ip:
            f.error("P207", f"'{request.ip}' is a network", (*path, "requests", number, "ip"), "write one address")
        if not request.path.startswith(("/", "*")):
            f.error("P317", "a path begins with '/'", (*path, "requests", number, "path"))


CHECKS: tuple[Callable[[Findings], None], ...] = (
    check_client,
    check_lists,
    check_limits,
    check_penalties,
    check_counts,
    check_scan,
    check_tests,
)


def check_domains(documents: Iterable[tuple[Document, PolicySpec]]) -> list[Diagnostic]:
    """Across files: each domain once, at most one default."""
    found: list[Diagnostic] = []
    places: dict[str, Document] = {}
    default: Document | None = None
    for document, spec in documents:
        named = document.whole(("domain",))
        if named and spec.domain in places:
            first = places[spec.domain].position(("domain",))
            found.append(
                document.diagnostic(
                    "P301", f"duplicate domain '{spec.domain}'", ("domain",), hint=f"it is first at {first}"
                )
            )
        if named:
            places.setdefault(spec.domain, document)
        if spec.default and default is not None:
            first = default.position(("default",))
            found.append(
                document.diagnostic("P318", "a second default domain", ("default",), hint=f"the first is at {first}")
            )
        if spec.default:
            default = default or document
    return found
