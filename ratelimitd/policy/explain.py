"""The compiled form of a policy, for people and for programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from ratelimitd.policy.names import format_source
from ratelimitd.policy.outcomes import denies, score_of, told_rules
from ratelimitd.policy.plan import (
    AddressList,
    Algorithm,
    Condition,
    Consistency,
    Domain,
    KeyPart,
    Limit,
    Match,
    Op,
    Override,
    OverrideKind,
    Penalty,
    Plan,
    Profile,
    Rate,
    Scan,
    ScanRoute,
    StoreLoss,
    Trigger,
)
from ratelimitd.policy.units import format_cidr, format_duration
from ratelimitd.waf.explain import name_of, phases, program_data, text_words
from ratelimitd.waf.program import Program

MAX_LISTED = 100  # rules of a profile that are listed
_VERBS = {
    Op.EXACT: ("is", "is not"),
    Op.PREFIX: ("begins with", "does not begin with"),
    Op.SUFFIX: ("ends with", "does not end with"),
    Op.GLOB: ("is like", "is not like"),
    Op.REGEX: ("matches", "does not match"),
    Op.CIDR: ("is in", "is not in"),
}


def text_of(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def condition_words(condition: Condition) -> str:
    source = format_source(condition.source, condition.name)
    if condition.op is Op.PRESENT:
        return f"{source} is {'absent' if condition.negate else 'present'}"
    verb = _VERBS[condition.op][condition.negate]
    operands = [format_cidr(cidr) for cidr in condition.cidrs] or [text_of(operand) for operand in condition.operands]
    case = " (any case)" if condition.ignore_case else ""
    return f"{source} {verb} {' or '.join(operands)}{case}"


def match_words(match: Match) -> list[str]:
    """A sentence for each alternative; all of them hold for "everything"."""
    if match.alternatives == ((),):
        return ["everything"]
    return [" and ".join(map(condition_words, a)) or "everything" for a in match.alternatives] or ["nothing"]


def key_words(key: Sequence[KeyPart]) -> str:
    return ", ".join(format_source(part.source, part.name) for part in key) or "one counter for all"


def rate_words(rate: Rate, algorithm: Algorithm) -> str:
    if rate.unlimited:
        return "unlimited"
    window = format_duration(rate.window_ms)
    if algorithm is Algorithm.TOKEN_BUCKET:
        return f"a bucket of {rate.limit} that fills in {window}"
    return f"{rate.limit} per {window}" if rate.limit else f"banned (0 per {window})"


def override_words(override: Override, algorithm: Algorithm) -> str:
    pattern = format_cidr(override.cidr) if override.cidr else text_of(override.text)
    kind = {OverrideKind.EXACT: "key", OverrideKind.GLOB: "keys like", OverrideKind.CIDR: "network"}[override.kind]
    return f"{kind} {pattern}: {rate_words(override.rate, algorithm)}"


Searched = Callable[
    [Program], Collection[int]
]  # first links of rules that are found by searching, as the engine has it


def explain(plan: Plan, searched: Searched | None = None) -> str:
    """The plan as text."""
    return "\n\n".join("\n".join(domain_lines(plan, domain, searched)) for domain in plan.domains) + "\n"


def domain_lines(plan: Plan, domain: Domain, searched: Searched | None) -> Iterator[str]:
    default = " (default)" if plan.default_domain and domain is plan.domains[0] else ""
    yield f"domain {text_of(domain.name)}{default}{', shadow: only watched' if domain.shadow else ''}"
    yield f"  client: {client_words(domain)}"
    consume = "from none" if domain.all_or_none else "from every limit" if domain.always else "from every other limit"
    headers = domain.headers.name.lower().replace("_", "-")
    yield f"  a check that one limit denies consumes {consume}; headers: {headers}"
    for item in domain.lists:
        yield from list_lines(item)
    for limit in domain.limits:
        yield from limit_lines(limit)
    for penalty in domain.penalties:
        yield from penalty_lines(penalty, domain)
    yield from scan_lines(domain.scan, searched)


def client_words(domain: Domain) -> str:
    client = domain.client
    header = text_of(client.header)
    if client.hops:
        where = f"entry {client.hops} of {header} from the right"
    elif client.trusted:
        networks = ", ".join(map(format_cidr, client.trusted))
        where = f"{header} from the right, past {networks}"
    else:
        where = "the address that connects"
    return f"{where}; keys by /{client.ipv4_prefix} (IPv4), /{client.ipv6_prefix} (IPv6)"


def list_lines(item: AddressList) -> Iterator[str]:
    shadow = ", shadow" if item.shadow else ""
    status = f" with {item.status}" if item.action.name == "DENY" else ""
    yield f"  list {text_of(item.name)}: {item.action.name.lower()}{status}{shadow}"
    yield f"    networks: {', '.join(map(format_cidr, item.cidrs)) or 'none'}"
    yield from match_lines(item.match)


def match_lines(match: Match) -> Iterator[str]:
    words = match_words(match)
    yield f"    when: {words[0]}"
    for other in words[1:]:
        yield f"      or: {other}"


def limit_lines(limit: Limit) -> Iterator[str]:
    shadow = ", shadow" if limit.shadow else ""
    yield f"  limit {text_of(limit.name)}: {rate_words(limit.rate, limit.algorithm)}{shadow}"
    yield from match_lines(limit.match)
    missing = " (requests without it are not counted)" if limit.skip_missing_key else ""
    yield f"    key: {key_words(limit.key)}{missing}"
    buckets = f", {limit.buckets} buckets" if limit.buckets > 1 else ""
    cost = cost_words(limit)
    status = f", status {limit.status}" if limit.status != 429 else ""
    yield f"    algorithm: {limit.algorithm.name.lower()}{buckets}{cost}{status}; identity {limit.identity.hex()}"
    yield from store_lines(limit)
    for override in limit.overrides:
        yield f"    override {override_words(override, limit.algorithm)}"


def penalty_lines(penalty: Penalty, domain: Domain) -> Iterator[str]:
    yield f"  penalty {text_of(penalty.name)}: {penalty_words(penalty)}{', shadow' if penalty.shadow else ''}"
    yield from match_lines(penalty.match)
    yield f"    key: {key_words(penalty.key)} (requests without it are not concerned)"
    after = [trigger_words(trigger, domain) for trigger in penalty.triggers] or ["what people say at the admin port"]
    yield f"    after: {after[0]}"
    for other in after[1:]:
        yield f"       or: {other}"
    status = f", status {penalty.status}" if penalty.status != 403 else ""
    yield f"    forgives a step in {format_duration(penalty.forgive_ms)}{status}; identity {penalty.identity.hex()}"


def penalty_words(penalty: Penalty) -> str:
    return f"bans for {', then '.join(map(format_duration, penalty.steps_ms))}"


def trigger_words(trigger: Trigger, domain: Domain) -> str:
    asked = [f"denials of {objector_words(trigger, domain)}: {trigger.denials}"] if trigger.denials else []
    asked += [f"scores of the scan: {trigger.score}"] if trigger.score else []
    return f"{' and '.join(asked)}, within {format_duration(trigger.window_ms)}"


def objectors(trigger: Trigger, domain: Domain) -> list[str]:
    """As the policy names them."""
    named = [f"limit.{text_of(domain.limits[index].name)}" for index in trigger.limits or ()]
    return [*(["limits"] if trigger.limits is None else named), *(["scan"] if trigger.scan else [])]


def objector_words(trigger: Trigger, domain: Domain) -> str:
    return ", ".join(objectors(trigger, domain))


def store_lines(limit: Limit) -> Iterator[str]:
    """What is unusual about how nodes count together."""
    if limit.consistency is not Consistency.SYNCED:
        yield f"    consistency: {limit.consistency.name.lower()}"
    if limit.on_store_loss is not StoreLoss.LOCAL:
        yield f"    without the store: {limit.on_store_loss.name.lower()}"


def cost_words(limit: Limit) -> str:
    counted = ", counts the scan's score" if limit.by_score else ""
    cost = f", cost x {limit.cost}" if limit.cost != 1 else ""
    extra = f", {limit.score_cost} more for each point of the scan's score" if limit.score_cost else ""
    return counted + cost + extra


def scan_lines(scan: Scan, searched: Searched | None) -> Iterator[str]:
    if not scan.profiles:
        yield "  scan: no rules"
        return
    yield f"  scan: {scan.mode.name.lower()}"
    for route in scan.routes:
        profile = f", profile {text_of(scan.profiles[route.profile].name)}" if route.profile else ""
        for words in match_words(route.match):
            yield f"    route {route.mode.name.lower()}{profile}: {words}"
    for item in scan.profiles:
        yield from profile_lines(item, searched)


def profile_lines(profile: Profile, searched: Searched | None) -> Iterator[str]:
    program = profile.program
    found = phases(program)
    each = ", ".join(f"phase {phase}: {count}" for phase, count in found.items())
    folded = f"; {program.folded} others never run" if program.folded else ""
    partial = "denied" if profile.deny_partial_body else "scanned as far as they came"
    yield f"    profile {text_of(profile.name)}: {sum(found.values())} rules ({each}){folded}"
    yield f"      denies with {profile.status}; bodies: the first {profile.body_limit} bytes, cut ones are {partial}"
    if searched is not None:
        once = len(searched(program))
        yield f"      {once} are searched for in one pass over all fields, {sum(found.values()) - once} in their turn"
    yield from rule_lines(profile)


def rule_lines(profile: Profile) -> Iterator[str]:
    """The rules whose matches are told. Of many, `explain --rule` shows the one that is asked for."""
    told = told_rules(profile)
    for _, links in told if len(told) <= MAX_LISTED else ():
        score = score_of(profile.program, links)
        does = [f"phase {links[0].phase}", *([f"score {score}"] if score else []), *(["denies"] * denies(links))]
        message = text_words(links[0].message)
        yield f"      rule {name_of(links[0])} ({', '.join(does)}){f': {message}' if message else ''}"


def explain_data(plan: Plan) -> dict[str, Any]:
    """The plan for JSON: what `explain` says, by name."""
    return {
        "digest": plan.digest,
        "default_domain": text_of(plan.domains[0].name) if plan.default_domain and plan.domains else None,
        "domains": [domain_data(domain) for domain in plan.domains],
    }


def domain_data(domain: Domain) -> dict[str, Any]:
    return {
        "name": text_of(domain.name),
        "shadow": domain.shadow,
        "consume": "all_or_none" if domain.all_or_none else "always" if domain.always else "each",
        "headers": domain.headers.name.lower().replace("_", "-"),
        "metadata": domain.metadata,
        "log_keys": domain.log_keys,
        "client": {
            "trusted_proxies": [format_cidr(cidr) for cidr in domain.client.trusted],
            "trusted_hops": domain.client.hops,
            "header": text_of(domain.client.header),
            "ipv4_prefix": domain.client.ipv4_prefix,
            "ipv6_prefix": domain.client.ipv6_prefix,
        },
        "lists": [list_data(item) for item in domain.lists],
        "limits": [limit_data(limit) for limit in domain.limits],
        "penalties": [penalty_data(item, domain) for item in domain.penalties],
        "scan": scan_data(domain.scan),
    }


def penalty_data(penalty: Penalty, domain: Domain) -> dict[str, Any]:
    return {
        "name": text_of(penalty.name),
        "identity": penalty.identity.hex(),
        "match": match_words(penalty.match),
        "key": [format_source(part.source, part.name) for part in penalty.key],
        "after": [
            {"denials": t.denials, "score": t.score, "window_ms": t.window_ms, "of": objectors(t, domain)}
            for t in penalty.triggers
        ],
        "ban_ms": list(penalty.steps_ms),
        "forgive_ms": penalty.forgive_ms,
        "shadow": penalty.shadow,
        "status": penalty.status,
    }


def list_data(item: AddressList) -> dict[str, Any]:
    return {
        "name": text_of(item.name),
        "action": item.action.name.lower(),
        "networks": [format_cidr(cidr) for cidr in item.cidrs],
        "match": match_words(item.match),
        "shadow": item.shadow,
        "status": item.status,
    }


def rate_data(rate: Rate) -> dict[str, Any]:
    return {"limit": rate.limit, "window_ms": rate.window_ms, "unlimited": rate.unlimited}


def limit_data(limit: Limit) -> dict[str, Any]:
    return {
        "name": text_of(limit.name),
        "identity": limit.identity.hex(),
        "match": match_words(limit.match),
        "key": [format_source(part.source, part.name) for part in limit.key],
        "algorithm": limit.algorithm.name.lower(),
        "buckets": limit.buckets,
        "cost": limit.cost,
        "count": "scan_score" if limit.by_score else "hits",
        "score_cost": limit.score_cost,
        "shadow": limit.shadow,
        "missing_key": "skip" if limit.skip_missing_key else "share",
        "status": limit.status,
        "consistency": limit.consistency.name.lower(),
        "on_store_loss": limit.on_store_loss.name.lower(),
        **rate_data(limit.rate),
        "overrides": [
            {
                "kind": override.kind.name.lower(),
                "pattern": format_cidr(override.cidr) if override.cidr else text_of(override.text),
                **rate_data(override.rate),
            }
            for override in limit.overrides
        ],
    }


def route_data(scan: Scan, route: ScanRoute) -> dict[str, Any]:
    profile = text_of(scan.profiles[route.profile].name) if scan.profiles else ""
    return {"match": match_words(route.match), "mode": route.mode.name.lower(), "profile": profile}


def profile_data(profile: Profile) -> dict[str, Any]:
    return {
        "name": text_of(profile.name),
        **program_data(profile.program),
        "status": profile.status,
        "body_limit": profile.body_limit,
        "partial_body": "deny" if profile.deny_partial_body else "scan",
        "told": [
            {
                "id": name_of(links[0]),
                "phase": links[0].phase,
                "score": score_of(profile.program, links),
                "deny": denies(links),
                "message": text_words(links[0].message),
                "tags": [text_of(tag) for tag in links[0].tags],
            }
            for _, links in told_rules(profile)
        ],
    }


def scan_data(scan: Scan) -> dict[str, Any]:
    return {
        "mode": scan.mode.name.lower(),
        "disabled": [text_of(name) for name in scan.disabled],
        "routes": [route_data(scan, route) for route in scan.routes],
        "profiles": [profile_data(profile) for profile in scan.profiles],
    }
