"""From checked models to the plan. Everything here was validated: nothing is refused.

Stages, in order: conditions -> lists -> limits (rate, overrides, identity) -> penalties -> rules -> domain. See `scan`
for that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from ratelimitd.policy import globs, names, rates, units
from ratelimitd.policy.checks.conditions import operators_of
from ratelimitd.policy.checks.rules import patterns_of
from ratelimitd.policy.plan import (
    AddressList,
    Algorithm,
    Client,
    Condition,
    Domain,
    KeyPart,
    Limit,
    ListAction,
    Match,
    Op,
    Override,
    OverrideKind,
    Penalty,
    Rate,
    Rule,
    Scan,
    Source,
    Trigger,
)
from ratelimitd.policy.protostruct import encode_struct
from ratelimitd.policy.schema import (
    ClientSpec,
    ConditionSpec,
    LimitSpec,
    ListSpec,
    OverrideSpec,
    PenaltySpec,
    PolicySpec,
    RuleSpec,
    TriggerSpec,
)

DEFAULT_SCORE = 5
DEFAULT_FORGIVE_MS = 86_400_000


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def compile_domain(spec: PolicySpec, scan: Scan) -> Domain:
    """One file's domain."""
    return Domain(
        name=encode(spec.domain),
        client=compile_client(spec.client),
        lists=tuple(compile_list(name, item) for name, item in spec.lists.items()),
        limits=compile_limits(spec),
        penalties=tuple(compile_penalty(spec, name, item) for name, item in spec.penalties.items()),
        scan=scan,
        headers=names.HEADER_FAMILIES[spec.headers],
        shadow=spec.mode == "shadow",
        all_or_none=spec.consume == "all_or_none",
        always=spec.consume == "always",
        metadata=spec.metadata,
        log_keys=spec.privacy.keys,
    )


def compile_client(spec: ClientSpec) -> Client:
    return Client(
        trusted=tuple(units.cidr_of(text) for text in spec.trusted_proxies),
        hops=spec.trusted_hops,
        header=encode(spec.header.lower()),
        ipv4_prefix=spec.ipv4_prefix,
        ipv6_prefix=spec.ipv6_prefix,
    )


def compile_match(match: list[dict[str, ConditionSpec]] | None) -> Match:
    if match is None:
        return Match()
    return Match(tuple(tuple(c for key, spec in mapping.items() for c in conditions(key, spec)) for mapping in match))


def conditions(key: str, spec: ConditionSpec) -> list[Condition]:
    """What a key of a match asks for: all of these."""
    parsed = names.parse_source(key, key=False)
    assert parsed is not None, key
    source, name = parsed
    found = [condition(source, name, operator, values, spec.ignore_case) for operator, values in operators_of(spec)]
    if spec.present is not None:
        found.append(Condition(source, Op.PRESENT, name, negate=not spec.present))
    if spec.not_ is not None:
        ignore_case = spec.ignore_case or spec.not_.ignore_case
        found += [condition(source, name, o, values, ignore_case, negate=True) for o, values in operators_of(spec.not_)]
    return found


def condition(
    source: Source, name: bytes, operator: str, values: list[str], ignore_case: bool, *, negate: bool = False
) -> Condition:
    path = source in (Source.PATH, Source.RAW_PATH)
    if operator == "cidr" or source is Source.CLIENT_IP:
        return Condition(source, Op.CIDR, name, cidrs=tuple(units.cidr_of(v) for v in values), negate=negate)
    if operator == "any":
        operator = "glob" if any(globs.is_glob(v, path=path) for v in values) else "exact"
        if operator == "glob":
            values = [v if globs.is_glob(v, path=path) else globs.escape(v) for v in values]
    op = names.OPERATORS[operator]
    if op is Op.REGEX and ignore_case:
        values, ignore_case = [f"(?i:{v})" for v in values], False
    if op is Op.GLOB and path:
        values = [globs.whole_tree(v) for v in values]
    if source in (Source.HOST, Source.SCHEME) and op is not Op.REGEX:
        values = [v.lower() for v in values]  # the engine compares them in lower case
    operands = tuple(dict.fromkeys(map(encode, values)))
    return Condition(source, op, name, operands, negate=negate, ignore_case=ignore_case)


def compile_list(name: str, spec: ListSpec) -> AddressList:
    action = ListAction.ALLOW if spec.deny is None else ListAction.DENY
    networks = (spec.allow if spec.deny is None else spec.deny) or []
    return AddressList(
        name=encode(name),
        action=action,
        cidrs=tuple(dict.fromkeys(units.cidr_of(text) for text in networks)),
        match=compile_match(spec.match),
        shadow=spec.mode == "shadow",
        status=spec.status,
    )


def compile_limits(spec: PolicySpec) -> tuple[Limit, ...]:
    place = {name: index for index, name in enumerate(spec.limits)}
    return tuple(
        replace(compile_limit(spec.domain, name, item), replaces=tuple(place[other] for other in item.replaces))
        for name, item in spec.limits.items()
    )


def compile_limit(domain: str, name: str, spec: LimitSpec) -> Limit:
    algorithm = names.ALGORITHMS[spec.algorithm]
    rate = compile_rate(spec)
    parts = tuple(KeyPart(*parsed) for text in spec.key or () if (parsed := names.parse_source(text, key=True)))
    return Limit(
        name=encode(name),
        identity=identity_of(domain, name, parts, algorithm, rate.window_ms, spec.buckets, spec.count),
        match=compile_match(spec.match),
        key=parts,
        rate=rate,
        algorithm=algorithm,
        buckets=spec.buckets,
        cost=spec.cost,
        by_score=spec.count == "scan_score",
        score_cost=spec.score_cost,
        shadow=spec.mode == "shadow",
        skip_missing_key=spec.missing_key == "skip",
        status=spec.status,
        overrides=compile_overrides(spec, rate),
        consistency=names.CONSISTENCIES[spec.consistency],
        on_store_loss=names.STORE_LOSSES[spec.on_store_loss],
        quota=spec.quota,
        metadata=encode_struct(spec.metadata),
        answer_name=None if spec.answer_as is None else encode(spec.answer_as),
    )


def compile_penalty(policy: PolicySpec, name: str, spec: PenaltySpec) -> Penalty:
    parts = tuple(KeyPart(*parsed) for text in spec.key if (parsed := names.parse_source(text, key=True)))
    what = ["penalty", 1, policy.domain, name, [[part.source.name, part.name.hex()] for part in parts]]
    longest = max((trigger.within for trigger in spec.after), default=0)
    return Penalty(
        name=encode(name),
        identity=hashlib.sha256(json.dumps(what, separators=(",", ":")).encode()).digest()[:16],
        match=compile_match(spec.match),
        key=parts,
        triggers=tuple(compile_trigger(list(policy.limits), trigger) for trigger in spec.after),
        steps_ms=tuple(spec.ban),
        forgive_ms=max(DEFAULT_FORGIVE_MS, longest) if spec.forgive is None else spec.forgive,
        shadow=spec.mode == "shadow",
        status=spec.status,
    )


def compile_trigger(limits: list[str], spec: TriggerSpec) -> Trigger:
    objectors = [parsed for text in spec.of or ("limits", "scan") if (parsed := names.parse_objector(text))]
    named = tuple(dict.fromkeys(limits.index(name) for kind, name in objectors if kind == "limit"))
    return Trigger(
        window_ms=spec.within,
        denials=spec.denials or 0,
        score=spec.score or 0,
        limits=None if ("limits", "") in objectors else named,
        scan=("scan", "") in objectors,
    )


def compile_rate(spec: LimitSpec) -> Rate:
    if spec.algorithm == "token_bucket":
        assert spec.rate is not None
        return rates.bucket_rate(spec.rate, spec.burst, unlimited=spec.unlimited)
    return rates.window_rate(spec.limit, spec.window, unlimited=spec.unlimited)


def identity_of(
    domain: str, name: str, key: tuple[KeyPart, ...], algorithm: Algorithm, window_ms: int, buckets: int, count: str
) -> bytes:
    """What the counters of a limit are kept by: only what changes their meaning.

    A new `limit` keeps the counts. So does a token bucket that takes as long to fill as before: its level is kept as a
    time.
    """
    parts = [[part.source.name, part.name.hex()] for part in key]
    what = [domain, name, parts, algorithm.name, window_ms, buckets, *([count] if count != "hits" else ())]
    canonical = json.dumps(["limit", 1, *what], separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).digest()[:16]


def compile_overrides(spec: LimitSpec, base: Rate) -> tuple[Override, ...]:
    """Exact keys, then globs from the most to the least specific, then networks from the longest prefix."""
    exact: list[Override] = []
    patterns: list[tuple[str, Override]] = []
    networks: list[Override] = []
    for text, item in spec.overrides.items():
        rate = override_rate(spec, item, base)
        if spec.key == ["client.ip"]:
            networks.append(Override(OverrideKind.CIDR, rate, cidr=units.cidr_of(text)))
        elif "*" in text:
            patterns.append((text, Override(OverrideKind.GLOB, rate, encode(text))))
        else:
            exact.append(Override(OverrideKind.EXACT, rate, encode(text)))
    patterns.sort(key=lambda pair: globs.specificity(pair[0]))
    networks.sort(key=lambda o: (-o.cidr.prefix, o.cidr.address) if o.cidr else (0, b""))
    return (*exact, *(override for _, override in patterns), *networks)


def override_rate(spec: LimitSpec, item: OverrideSpec, base: Rate) -> Rate:
    if item.unlimited:
        return Rate(base.limit, base.window_ms, unlimited=True)
    if spec.algorithm != "token_bucket":
        return Rate(item.limit or 0, base.window_ms)
    rate = item.rate or spec.rate
    assert rate is not None
    return rates.bucket_rate(rate, item.burst)


def compile_rule(spec: RuleSpec) -> Rule:
    deny = spec.action == "deny"
    default = 0 if deny else DEFAULT_SCORE
    return Rule(
        id=encode(spec.id),
        patterns=tuple(dict.fromkeys(map(encode, patterns_of(spec)))),
        targets=tuple(dict.fromkeys(ref for text in spec.targets if (ref := names.parse_target(text)))),
        transformations=tuple(names.TRANSFORMATIONS[name] for name in spec.transformations),
        score=default if spec.score is None else spec.score,
        deny=deny,
        message=encode(spec.message),
        tags=tuple(map(encode, spec.tags)),
        ignore_case=spec.ignore_case,
    )
