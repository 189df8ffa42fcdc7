"""The shape of a policy file, and its JSON Schema for editors. Meaning is checked in `validate`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt

from ratelimitd.policy import fields as f


class Spec(BaseModel):
    """Unknown keys are refused; nothing is converted behind the author's back."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ConditionSpec(Spec):
    """How a value must look. Several keys must all hold; the items of a list are alternatives."""

    any: f.Texts | None = Field(default=None, description="Any of these, as in the short form.")
    exact: f.Texts | None = Field(default=None, description="The whole value, byte for byte.")
    prefix: f.Texts | None = Field(default=None, description="How the value begins.")
    suffix: f.Texts | None = Field(default=None, description="How the value ends.")
    glob: f.Texts | None = Field(
        default=None, description="`*` any run; in paths within a segment, `**` across, `{name}` one segment."
    )
    regex: f.Texts | None = Field(default=None, description="A regular expression for the whole value.")
    cidr: f.Networks | None = Field(default=None, description="Networks that the value, an address, lies in.")
    present: StrictBool | None = Field(
        default=None, description="The request has such a value (true) or has none (false)."
    )
    ignore_case: StrictBool = Field(default=False, description="ASCII letters compare without case.")
    not_: Condition | None = Field(
        default=None, alias="not", description="None of these: text, a list, or a mapping with operators."
    )


def _condition(value: Any) -> Any:
    """A string or a list is short for `any`."""
    if isinstance(value, dict):
        return value
    if value is None:
        raise f.problem(
            "P202", "expected text, a list or a mapping, got nothing", "write {present: true} for any value"
        )
    return {"any": value}


Condition = Annotated[
    ConditionSpec, BeforeValidator(_condition, json_schema_input_type=str | list[str] | ConditionSpec)
]
MatchMapping = Annotated[dict[f.MatchKey, Condition], f.MatchKeys()]
MatchField = Annotated[
    list[MatchMapping], BeforeValidator(f.listed, json_schema_input_type=MatchMapping | list[MatchMapping])
]


class ClientSpec(Spec):
    """How the client's address is found."""

    trusted_proxies: f.Networks = Field(
        default=[], description="Networks of our own proxies: X-Forwarded-For is read from the right, past them."
    )
    trusted_hops: Annotated[StrictInt, Field(ge=0, le=32)] = Field(
        default=0,
        description="Instead of networks: how many entries of X-Forwarded-For, from the right, our own proxies added.",
    )
    header: f.Text = Field(
        default="x-forwarded-for", description="The header that carries the address, such as x-envoy-external-address."
    )
    ipv4_prefix: Annotated[StrictInt, Field(ge=8, le=32)] = Field(
        default=32, description="IPv4 clients of one network of this size share a key."
    )
    ipv6_prefix: Annotated[StrictInt, Field(ge=16, le=128)] = Field(
        default=64, description="IPv6 clients of one network of this size share a key."
    )


class ListSpec(Spec):
    """An allow list (skips limits and scan) or a deny list, by network."""

    allow: f.Networks | None = Field(default=None, description="Networks whose requests pass without limits and scan.")
    deny: f.Networks | None = Field(default=None, description="Networks whose requests are denied.")
    match: MatchField | None = Field(default=None, description="Only for these requests. Default: all.")
    mode: f.ModeName = Field(default="enforce", description="shadow: counted, never applied.")
    status: f.Status = Field(default=403, description="The HTTP status of a denial.")


class OverrideSpec(Spec):
    """Another rate for some keys."""

    limit: f.Count | None = Field(default=None, description="Hits per window; 0 bans.")
    rate: f.RateText | None = Field(default=None, description="Token bucket: how fast it fills.")
    burst: f.PositiveCount | None = Field(default=None, description="Token bucket: how much it holds.")
    unlimited: StrictBool = Field(default=False, description="No limit for these keys.")


class LimitSpec(Spec):
    """At most so many hits per key."""

    match: MatchField | None = Field(
        default=None, description="Which requests count. A mapping: all must hold; a list: any of its mappings."
    )
    key: (
        Annotated[
            list[f.KeyPartText], BeforeValidator(f.listed, json_schema_input_type=f.KeyPartText | list[f.KeyPartText])
        ]
        | None
    ) = Field(default=None, description="What is counted by: one part or several. []: all requests together.")
    limit: f.Count | None = Field(default=None, description="Hits per window; 0 bans.")
    window: f.Duration | None = Field(default=None, description="The length of the window, such as 30s or 1h30m.")
    rate: f.RateText | None = Field(default=None, description="Token bucket: how fast it fills, such as 500/s.")
    burst: f.PositiveCount | None = Field(
        default=None, description="Token bucket: how much it holds. Default: one period of the rate."
    )
    algorithm: f.AlgorithmName = Field(default="sliding_window", description="How hits are counted.")
    buckets: Annotated[StrictInt, Field(ge=1, le=8)] = Field(
        default=1, description="Sliding window: sub-buckets; more is more exact."
    )
    cost: f.PositiveCount = Field(default=1, description="Multiplies the cost of a request.")
    score_cost: f.Count = Field(
        default=0, description="Hits that each point of the scan's score costs more: suspicious requests count extra."
    )
    mode: f.ModeName = Field(default="enforce", description="shadow: counted and reported, never applied.")
    unlimited: StrictBool = Field(default=False, description="Count, but never deny.")
    overrides: dict[f.Text, OverrideSpec] = Field(
        default={}, description="Other rates for some keys: by exact key, by glob, or by network for client.ip."
    )
    missing_key: Literal["share", "skip"] = Field(
        default="share",
        description="A request without the key: shares one counter with its like, or the limit does not apply.",
    )
    status: f.Status = Field(default=429, description="The HTTP status of a denial.")
    count: Literal["hits", "scan_score"] = Field(
        default="hits",
        description="scan_score: counts what the scan finds in a request instead of the request: bad clients run out.",
    )
    consistency: Literal["synced", "local", "leased"] = Field(
        default="synced",
        description="With a shared store. synced: nodes tell each other in the background; leased: never over the"
        " limit, each node spends what the store granted it; local: every node counts alone.",
    )
    replaces: f.Texts = Field(
        default=[], description="ShouldRateLimit: limits of this file that do not apply where this one does."
    )
    quota: StrictBool = Field(
        default=False,
        description="ShouldRateLimit: over the limit is said of the descriptor; of the call only when none of the"
        " quotas that it meets is left.",
    )
    metadata: dict[str, Any] = Field(
        default={},
        description="ShouldRateLimit, with quota: dynamic metadata for Envoy as long as there is quota left.",
    )
    answer_as: f.Text | None = Field(
        default=None, description="ShouldRateLimit: the name in the answer, may be empty. Default: the limit's name."
    )
    on_store_loss: Literal["local", "share", "deny", "allow"] = Field(
        default="local",
        description="While the shared store is lost. local: each node goes on with what it knows; share: within its"
        " share of the limit; deny: with status 503; allow: without limit.",
    )


class TriggerSpec(Spec):
    """What leads to a ban. What is asked for must all come together."""

    denials: f.PositiveCount | None = Field(default=None, description="So many denials of one key.")
    score: f.PositiveCount | None = Field(default=None, description="Scores of the scan that add up to so much.")
    within: f.Duration = Field(description="The time in which they are counted, such as 5m.")
    of: (
        Annotated[
            list[f.ObjectorText],
            BeforeValidator(f.listed, json_schema_input_type=f.ObjectorText | list[f.ObjectorText]),
        ]
        | None
    ) = Field(
        default=None,
        description="Whose denials count: limits (all of them), limit.<name>, scan. Default: all limits and the scan.",
    )


class PenaltySpec(Spec):
    """Who earns too many denials is banned for a time, and longer each time."""

    match: MatchField | None = Field(
        default=None, description="Which requests: their denials count, and they are what a ban denies. Default: all."
    )
    key: Annotated[
        list[f.KeyPartText], BeforeValidator(f.listed, json_schema_input_type=f.KeyPartText | list[f.KeyPartText])
    ] = Field(description="Who is banned: one part or several, as in limits.")
    after: Annotated[
        list[TriggerSpec], BeforeValidator(f.listed, json_schema_input_type=TriggerSpec | list[TriggerSpec])
    ] = Field(default=[], description="What leads to a ban; of a list any. Without it only people ban.")
    ban: f.Durations = Field(
        description="How long: 1h; or the first time, the second, ...: [10m, 1h, 1d]. The last one stays."
    )
    forgive: f.Duration | None = Field(
        default=None, description="So long without a denial takes one step back. Default: 1d, or the longest `within`."
    )
    mode: f.ModeName = Field(default="enforce", description="shadow: bans are counted, never applied.")
    status: f.Status = Field(default=403, description="The HTTP status of a banned request.")


class RuleSpec(Spec):
    """A pattern rule: any pattern on any target makes it fire."""

    id: f.RuleId = Field(description="Unique; in answers and logs.")
    pattern: f.Text | None = Field(
        default=None, description="A regular expression (Hyperscan syntax) that is searched for."
    )
    patterns: f.Texts | None = Field(default=None, description="Several of them.")
    targets: Annotated[
        list[f.TargetText], BeforeValidator(f.listed, json_schema_input_type=f.TargetText | list[f.TargetText])
    ] = Field(description="What is looked at, such as args or headers:user-agent; !args:password leaves one out.")
    transformations: Annotated[
        list[f.TransformationName],
        BeforeValidator(f.listed, json_schema_input_type=f.TransformationName | list[f.TransformationName]),
    ] = Field(default=[], description="What is done to a value before it is searched, in order.")
    score: Annotated[StrictInt, Field(ge=0, le=1000)] | None = Field(
        default=None, description="What a hit adds to the anomaly score. Default: 5."
    )
    action: Literal["deny"] | None = Field(default=None, description="deny: one hit blocks, whatever the score.")
    message: f.Text = Field(default="", description="What was found, for people.")
    tags: f.Texts = Field(default=[], description="Labels for logs.")
    ignore_case: StrictBool = Field(default=False, description="ASCII letters match without case.")


class RouteSpec(Spec):
    """Another scan mode, or another profile, for some requests."""

    match: MatchField = Field(description="Which requests.")
    mode: f.ScanModeName | None = Field(default=None, description="off, detect or block. Default: scan's own mode.")
    profile: f.Name | None = Field(default=None, description="One of `profiles`. Default: scan as it stands.")


class RulesetSpec(Spec):
    """Rules from files: the Core Rule Set, or SecLang of your own. Paths are relative to the policy file."""

    name: Literal["builtin"] | None = Field(default=None, description="builtin: the rules that come with us.")
    crs: f.Text | None = Field(default=None, description="The Core Rule Set: its directory, or the one of its rules.")
    setup: f.Text | None = Field(
        default=None, description="The Core Rule Set's setup. Default: its crs-setup.conf, or that file's .example."
    )
    seclang: f.Texts | None = Field(
        default=None, description="SecLang files: paths, directories (their *.conf) or patterns like rules/*.conf."
    )


def _ruleset(value: Any) -> Any:
    """A word is short for `name`."""
    return {"name": value} if isinstance(value, str) else value


Rulesets = list[
    Annotated[RulesetSpec, BeforeValidator(_ruleset, json_schema_input_type=Literal["builtin"] | RulesetSpec)]
]


class ExcludeSpec(Spec):
    """Rules to leave out, or fields that they shall not look at."""

    rules: Annotated[
        list[f.RuleSpan], BeforeValidator(f.listed, json_schema_input_type=f.RuleSpan | list[f.RuleSpan])
    ] = Field(default=[], description="Rules, by id or range of ids, such as 942100 or 920000-920999.")
    tags: f.Texts = Field(default=[], description="Rules that have one of these tags, such as attack-sqli.")
    targets: Annotated[
        list[f.ExcludedText], BeforeValidator(f.listed, json_schema_input_type=f.ExcludedText | list[f.ExcludedText])
    ] = Field(
        default=[],
        description="Only these fields are left out, such as args:password, for these rules, or for all. "
        "Without: the rules themselves.",
    )
    match: MatchField | None = Field(default=None, description="Only for these requests. Default: all.")


class ThresholdSpec(Spec):
    """Which anomaly score blocks."""

    inbound: f.Threshold = Field(default=5, description="The score of a request.")
    outbound: f.Threshold = Field(default=4, description="The score of a response.")


def _threshold(value: Any) -> Any:
    """A number is short for `inbound`."""
    return {"inbound": value} if isinstance(value, int) and not isinstance(value, bool) else value


Threshold = Annotated[ThresholdSpec, BeforeValidator(_threshold, json_schema_input_type=f.Threshold | ThresholdSpec)]


class ProfileSpec(Spec):
    """What a way to scan can have of its own."""

    rulesets: Rulesets | None = Field(default=None, description="Rule sets: builtin, {crs: DIR}, {seclang: FILES}.")
    paranoia: f.Paranoia | None = Field(
        default=None, description="The Core Rule Set's paranoia level: what counts. Default: its setup's, or 1."
    )
    detection_paranoia: f.Paranoia | None = Field(
        default=None, description="Rules up to this level run; those above `paranoia` are only told of."
    )
    threshold: Threshold | None = Field(
        default=None, description="The anomaly score that blocks: a number, or {inbound: 5, outbound: 4}."
    )
    status: f.Status | None = Field(default=None, description="The HTTP status of a block.")
    body_limit: f.Size | None = Field(default=None, description="Bytes of a body that are scanned.")
    partial_body: Literal["scan", "deny"] | None = Field(
        default=None, description="A body that arrives cut: scan what is there, or deny."
    )
    broken_body: Literal["scan", "deny"] | None = Field(
        default=None, description="A body that is not what its content type says: scan it as it came, or deny."
    )
    unknown_body: Literal["scan", "raw", "deny"] | None = Field(
        default=None,
        description="A body of a type that is not parsed. scan: as what it looks like; raw: and every byte of it.",
    )
    exclude: list[ExcludeSpec] = Field(default=[], description="Rules, or fields of rules, to leave out.")
    rule_modes: dict[f.RuleSpan, f.RuleModeName] = Field(
        default={},
        description="Of single rules. off: left out; detect: told of, counts for nothing; block: denies alone.",
    )
    rules: list[RuleSpec] = Field(default=[], description="Your own rules.")


class ScanSpec(ProfileSpec):
    """What is searched for in requests."""

    mode: f.ScanModeName = Field(default="off", description="off; detect: report only; block: deny.")
    disable: list[f.RuleSpan] = Field(default=[], description="Rules of the rule sets to leave out, by id or range.")
    profiles: dict[f.Name, ProfileSpec] = Field(
        default={}, description="Other ways to scan, for routes. What one does not say, it has of `scan`."
    )
    profile_attribute: f.Text | None = Field(
        default=None, description="An attribute (Envoy: context extension) of a check that names its profile."
    )
    routes: list[RouteSpec] = Field(
        default=[], description="Another mode or profile for some requests; the first that matches wins."
    )


class PrivacySpec(Spec):
    """What leaves the process."""

    keys: Literal["plain", "hash"] = Field(default="plain", description="How keys appear in logs, /top and /keys.")


class RequestSpec(Spec):
    """One request of a test, or a train of them."""

    at: f.Duration = Field(default=0, description="When, after the test begins.")
    repeat: Annotated[StrictInt, Field(ge=1, le=100_000)] = Field(default=1, description="How many.")
    every: f.Duration = Field(default=0, description="The time between two of them.")
    method: f.Text = Field(default="GET", description="As on the wire.")
    path: f.Text = Field(default="/", description="Raw, with the query.")
    ip: f.Network = Field(default="192.0.2.1", description="The address that connects to us.")
    host: f.Text = Field(default="", description="The host asked for.")
    scheme: f.Text = Field(default="https", description="http or https.")
    headers: dict[f.Text, f.Texts] = Field(default={}, description="Name to value, or to a list of values.")
    body: Annotated[str, Field(max_length=1024 * 1024)] | None = Field(default=None, description="The body, as UTF-8.")
    partial_body: StrictBool = Field(default=False, description="The body is only a beginning.")
    attributes: dict[f.Text, f.Text] = Field(default={}, description="What only the caller knows.")
    cost: f.Count = Field(default=1, description="Hits to charge.")


class ExpectSpec(Spec):
    """What must come out.

    limit, list, rule, status and reason speak of the denied requests; of all when none is denied. penalty speaks of
    those that a ban denies.
    """

    allowed: f.Count | None = Field(default=None, description="How many requests are allowed.")
    denied: f.Count | None = Field(default=None, description="How many requests are denied.")
    shadow_denied: f.Count | None = Field(
        default=None, description="How many would be denied if shadow and detect were enforced."
    )
    banned: f.Count | None = Field(default=None, description="How many of the denied requests a ban denies.")
    limit: f.Name | None = Field(default=None, description="The limit that denies.")
    list: f.Name | None = Field(default=None, description="The list that decides.")
    penalty: f.Name | None = Field(default=None, description="The penalty that bans.")
    rule: f.RuleId | None = Field(default=None, description="A rule that fires.")
    status: Annotated[StrictInt, Field(ge=100, le=599)] | None = Field(default=None, description="The HTTP status.")
    reason: (
        Literal[
            "none",
            "allow_list",
            "deny_list",
            "penalty",
            "over_limit",
            "scan",
            "partial_body",
            "no_policy",
            "overload",
            "store_lost",
        ]
        | None
    ) = Field(default=None, description="Why.")


class TestSpec(Spec):
    """A test of this policy: requests at times on a fake clock, and what must come out."""

    __test__ = False  # not a pytest class

    name: f.Text = Field(description="What must hold, in a sentence.")
    requests: Annotated[
        list[RequestSpec], BeforeValidator(f.listed, json_schema_input_type=RequestSpec | list[RequestSpec])
    ] = Field(description="One or several, in any order: their times decide.")
    expect: ExpectSpec = Field(description="What must come out.")


class PolicySpec(Spec):
    """A policy of ratelimitd: one domain."""

    version: f.Version = Field(description="The version of the policy language.")
    domain: f.DomainName = Field(description="The name that callers ask for.")
    default: StrictBool | None = Field(
        default=None, description="This domain serves requests that name none. Default: true when it is the only one."
    )
    mode: f.ModeName = Field(default="enforce", description="shadow: the whole file is only watched.")
    headers: f.HeadersName = Field(default="ietf", description="Which rate limit headers answers carry.")
    consume: Literal["all_or_none", "each", "always"] = Field(
        default="all_or_none",
        description="all_or_none: a check that one limit denies consumes from none; each: limits count alone; "
        "always: they count what they deny, too.",
    )
    client: ClientSpec = Field(default=ClientSpec(), description="How the client's address is found.")
    lists: dict[f.Name, ListSpec] = Field(default={}, description="Allow and deny lists; the first that matches wins.")
    limits: dict[f.Name, LimitSpec] = Field(default={}, description="The limits. All that match apply.")
    penalties: dict[f.Name, PenaltySpec] = Field(
        default={}, description="Bans for a time, for those who are denied too often."
    )
    scan: ScanSpec = Field(default=ScanSpec(), description="What is searched for in requests.")
    privacy: PrivacySpec = Field(default=PrivacySpec(), description="What leaves the process.")
    metadata: StrictBool = Field(default=True, description="Put dynamic metadata into Envoy's answers.")
    tests: list[TestSpec] = Field(default=[], description="The policy's own tests, run by `ratelimitd test`.")


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a policy file."""
    schema = without_null(PolicySpec.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://ratelimitd.dev/policy.schema.json",
        **schema,
        "title": "ratelimitd policy",
    }


def without_null(schema: Any) -> Any:
    """A key that may be absent may still not be null: the models say so by `| None`, a policy file does not."""
    if isinstance(schema, list):
        return [without_null(item) for item in schema if item != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    found = {key: without_null(value) for key, value in schema.items() if not (key == "default" and value is None)}
    if isinstance(found.get("anyOf"), list) and len(found["anyOf"]) == 1:
        found = {**found.pop("anyOf")[0], **found}
    return found
