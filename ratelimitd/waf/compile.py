"""From a rule set's syntax tree to a program: settings, exclusions, folding, then indices instead of names.

Stages, in this order because each needs the one before: `configure` applies the directives that change rules, `lower`
turns rules into links, `tuned` makes them what the policy wants, `fold` drops what never runs, `number` gives links
their places, `resolve` finds what ctl and skipAfter point at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from ratelimitd.errors import Diagnostic, PolicyError, Position
from ratelimitd.waf.fold import Item, Marker, fold
from ratelimitd.waf.lower import LEAVE_OUT, Lowered, Removal, UnsupportedError, lower, selector
from ratelimitd.waf.places import find_places, names_places
from ratelimitd.waf.program import (
    RESPONSE_TYPES,
    Control,
    Ctl,
    Engine,
    Link,
    Operator,
    Places,
    Program,
    Reference,
    Variable,
)
from ratelimitd.waf.seclang import tree
from ratelimitd.waf.tuning import Tuning, head, tuned

PHASES = 5
SCORES = re.compile(rb"(?:inbound_|outbound_)?anomaly_score_pl\d")
TOTALS = (b"blocking_inbound_anomaly_score", b"anomaly_score")  # the Core Rule Set's, v4 and v3
RESPONSE_TOTALS = (b"blocking_outbound_anomaly_score", b"outbound_anomaly_score")
AS_WRITTEN = Tuning()
# Settings that change what rules see, and the values that we can follow.
ONLY = {
    "SecArgumentSeparator": (b"&",),
    "SecCookieFormat": (b"0",),
    "SecCookieV0Separator": (b";",),
    "SecParseXmlIntoArgs": (b"off",),
    "SecUnicodeMapFile": (b"20127",),
    "SecXmlExternalEntity": (b"off",),
}
PARANOIA = re.compile(rb"paranoia-level/(\d)")
SERVICE = re.compile(rb"(?!.{101})[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
BLOCKLIST_KEY = re.compile(rb"[A-Za-z0-9_-]{1,63}")
HONEYPOT = b"httpbl.org"  # its lists want a key


@dataclass
class Settings:
    """What directives say of the engine itself."""

    engine: Engine = Engine.ON
    body_access: bool = True
    json_depth: int = 64
    arguments_max: int = 1000
    response_access: bool = True
    response_types: tuple[bytes, ...] | None = None
    response_limit: int = 0
    response_reject: bool = False
    collection_timeout: int = 3600
    application: bytes = b""
    places: Places | None = None
    blocklist_key: bytes = b""
    files: tuple[str, ...] = field(default=())


def compile_rules(
    configuration: tree.Configuration, initial: Sequence[tuple[bytes, bytes]] = (), status: int = 403
) -> Program:
    """initial: TX before the first rule; status: of a denial that names none.

    Raises PolicyError: rules that may run need what the engine does not do.
    """
    settings, items = configure(configuration)
    return assemble(settings, items, initial, status, sources=tuple(file.path for file in configuration.files))


def assemble(
    settings: Settings,
    items: Iterable[Item],
    initial: Sequence[tuple[bytes, bytes]] = (),
    status: int = 403,
    tuning: Tuning = AS_WRITTEN,
    sources: tuple[str, ...] = (),
) -> Program:
    """The program of these rules, in this order within their phases. Raises PolicyError as compile_rules does."""
    wanted = [*wanted_items(items, tuning)]
    phases = [[i for i in wanted if isinstance(i, Marker) or i.phase == phase] for phase in range(1, PHASES + 1)]
    kept, start = fold(phases, initial)
    refuse_unsupported(kept, settings)
    first = [head(tuning, Position("policy", 1, 1))] if tuning.conditional else []
    links = [replace(k, status=k.status or status) for k in number([[*first, *kept[0]], *kept[1:]])]
    all_read = bool(borrowers(links))
    links = [replace(k, capture=k.capture and (all_read or captured(links, i))) for i, k in enumerate(links)]
    used = names_used(links)
    total = next((name for name in TOTALS if name in names_set(links)), b"")
    return Program(
        links=tuple(links),
        initial=tuple(sorted((name, value) for name, value in start.items() if name in used)),
        scores=tuple(sorted(name for name in used if SCORES.fullmatch(name))) or (total,) * bool(total),
        score=total,
        response_score=next((name for name in RESPONSE_TOTALS if name in names_set(links)), b""),
        engine=settings.engine,
        body_access=settings.body_access,
        json_depth=settings.json_depth,
        arguments_max=settings.arguments_max,
        response_access=settings.response_access,
        response_types=RESPONSE_TYPES if settings.response_types is None else settings.response_types,
        response_limit=settings.response_limit,
        response_reject=settings.response_reject,
        collection_timeout=settings.collection_timeout,
        application=settings.application,
        places=settings.places if any(link.operator == Operator.GEO_LOOKUP for link in links) else None,
        blocklist_key=settings.blocklist_key if any(link.operator == Operator.BLOCKLIST for link in links) else b"",
        sources=sources,
        folded=sum(isinstance(i, Lowered) for i in wanted) - sum(isinstance(i, Lowered) for p in kept for i in p),
    )


def wanted_items(items: Iterable[Item], tuning: Tuning) -> Iterator[Item]:
    for item in items:
        made = item if isinstance(item, Marker) else tuned(item, tuning)
        if made is not None:
            yield made


# ---- configure


def configure(configuration: tree.Configuration) -> tuple[Settings, list[Item]]:
    settings = Settings()
    directives = configuration.directives
    removals = [d for d in directives if isinstance(d, tree.RemoveRules)]
    updates = [d for d in directives if isinstance(d, tree.UpdateTarget)]
    changes: dict[int, list[tree.UpdateAction]] = {}
    for directive in directives:
        if isinstance(directive, tree.UpdateAction):
            changes.setdefault(directive.id, []).append(directive)
    items: list[Item] = []
    refuse_directives(directives)
    for directive in directives:
        if isinstance(directive, tree.Marker):
            items.append(Marker(directive.name))
        elif isinstance(directive, tree.Setting):
            set_up(settings, directive)
        elif isinstance(directive, tree.Rule) and not any(meant(removal, directive) for removal in removals):
            rule = reduce(with_actions, changes.get(directive.id, ()), directive)
            items.append(updated(lower(rule), rule, updates))
    return settings, items


def refuse_directives(directives: Iterable[tree.Directive]) -> None:
    """What would change what rules see or do, and cannot be done."""
    diagnostics = [
        Diagnostic("S702", f"{name} is not supported", directive.position, "take it out")
        for directive in directives
        if (name := unsupported(directive))
    ]
    for directive in directives:
        if names_places(directive):
            try:
                find_places(directive)
            except PolicyError as error:
                diagnostics += error.diagnostics
    if diagnostics:
        raise PolicyError(diagnostics)


def unsupported(directive: tree.Directive) -> str:
    """The name of a directive that we cannot follow; empty: we can."""
    if isinstance(directive, tree.Script):
        return "SecRuleScript"
    if not isinstance(directive, tree.Setting):
        return ""
    if directive.effect == "refused":
        return directive.name
    value = directive.arguments[-1] if directive.arguments else b""
    if directive.name == "SecHttpBlKey" and not BLOCKLIST_KEY.fullmatch(value):
        return "SecHttpBlKey with what is no key"
    if value.lower() in ONLY.get(directive.name, (value.lower(),)):
        return ""
    return f"{directive.name} {value.decode('utf-8', 'backslashreplace')}"


def with_actions(rule: tree.Rule, update: tree.UpdateAction, at: int = 0) -> tree.Rule:
    """As SecRuleUpdateActionById wants the rule, whose links are counted from `at`. Of two actions of a kind that a
    rule has once the last counts, so the update's go behind. What is chained stays so.

    Raises PolicyError: the chain has no such link.
    """
    if at < update.link:
        if rule.chained is None:
            message = f"rule {update.id} has no link {update.link}"
            raise PolicyError(
                [Diagnostic("S403", message, update.position, "0 is the rule itself, 1 the link behind it")]
            )
        return replace(rule, chained=with_actions(rule.chained, update, at + 1))
    return replace(
        rule,
        actions=rule.actions + tuple(action for action in update.actions if action.name != "chain"),
        transformations=update.transformations if update.resets else rule.transformations + update.transformations,
    )


def set_up(settings: Settings, directive: tree.Setting) -> None:
    name, value = directive.name, directive.value
    if name == "SecRuleEngine":
        settings.engine = {"Off": Engine.OFF, "DetectionOnly": Engine.DETECTION_ONLY}.get(str(value), Engine.ON)
    elif name == "SecRequestBodyAccess":
        settings.body_access = value == "On"
    elif name == "SecRequestBodyJsonDepthLimit" and isinstance(value, int):
        settings.json_depth = value
    elif name == "SecArgumentsLimit" and isinstance(value, int):
        settings.arguments_max = value
    elif name == "SecCollectionTimeout" and isinstance(value, int):
        settings.collection_timeout = value
    elif name == "SecWebAppId":
        settings.application = directive.arguments[0]
    elif name == "SecHttpBlKey":
        settings.blocklist_key = directive.arguments[0]
    elif names_places(directive):
        settings.places = find_places(directive)
    elif name.startswith("SecResponseBody"):
        set_up_response(settings, directive)


def set_up_response(settings: Settings, directive: tree.Setting) -> None:
    name, value = directive.name, directive.value
    if name == "SecResponseBodyAccess":
        settings.response_access = value == "On"
    elif name == "SecResponseBodyLimit" and isinstance(value, int):
        settings.response_limit = value
    elif name == "SecResponseBodyLimitAction":
        settings.response_reject = value == "Reject"
    elif name == "SecResponseBodyMimeType":
        added = tuple(b"" if kind == b"(null)" else kind.lower() for kind in directive.arguments)
        settings.response_types = (settings.response_types or ()) + added
    elif name == "SecResponseBodyMimeTypesClear":
        settings.response_types = ()


def said(rule: tree.Rule, name: str) -> Iterator[bytes]:
    """What the rule's tags, or its message, say."""
    for action in rule.actions:
        if action.name == name and isinstance(action.value, tuple):
            yield b"".join(part for part in action.value if isinstance(part, bytes))


def meant(directive: tree.RemoveRules | tree.UpdateTarget, rule: tree.Rule) -> bool:
    if directive.by == "id":
        return any(span.first <= rule.id <= span.last for span in directive.ids)
    return directive.text in said(rule, directive.by)


def updated(rule: Lowered, node: tree.Rule, updates: Iterable[tree.UpdateTarget]) -> Lowered:
    """With the selectors that SecRuleUpdateTarget* adds to its first link."""
    more = tuple(selector(s) for update in updates if meant(update, node) for s in update.selectors)
    if not more:
        return rule
    first = replace(rule.links[0], selectors=rule.links[0].selectors + more)
    return replace(rule, links=(first, *rule.links[1:]))


# ---- what is left


def refuse_unsupported(phases: Iterable[Iterable[Item]], settings: Settings) -> None:
    diagnostics = [
        Diagnostic(
            "S701",
            f"rule {item.id}: {error.what} is not supported",
            item.position,
            error.hint or LEAVE_OUT,
        )
        for items in phases
        for item in items
        if isinstance(item, Lowered)
        for error in (*item.unsupported, *open_patterns(item), *lacking(item, settings))
    ]
    if diagnostics:
        raise PolicyError(diagnostics)


def open_patterns(rule: Lowered) -> Iterator[UnsupportedError]:
    """Patterns with a macro in them whose value is not known ahead."""
    for link in rule.links:
        if link.operator in (Operator.RX, Operator.RX_GLOBAL) and any(isinstance(p, Reference) for p in link.argument):
            yield UnsupportedError("a macro in the pattern of @rx")


def lacking(rule: Lowered, settings: Settings) -> Iterator[UnsupportedError]:
    """What a rule's operators ask for, and nobody has given."""
    for link in rule.links:
        if link.operator == Operator.GEO_LOOKUP and settings.places is None:
            yield UnsupportedError("@geoLookup without a database", "name one: SecGeoLookupDb FILE.mmdb")
        if link.operator != Operator.BLOCKLIST:
            continue
        service = b"".join(part for part in link.argument if isinstance(part, bytes))
        if any(isinstance(part, Reference) for part in link.argument):
            yield UnsupportedError("a macro in the name of @rbl")
        elif not SERVICE.fullmatch(service):
            yield UnsupportedError("@rbl with what is no name of a blocklist", "write @rbl bl.example.org")
        elif HONEYPOT in service and not settings.blocklist_key:
            yield UnsupportedError("@rbl of httpBL without a key", "set it: SecHttpBlKey KEY")


def number(phases: Sequence[Sequence[Item]]) -> Iterator[Link]:
    """The links in order, with what they point at."""
    firsts: dict[int, Lowered] = {}
    behind: list[dict[bytes, list[int]]] = []  # by phase: marker -> places in order
    ends: list[int] = []
    at = 0
    for items in phases:
        places: dict[bytes, list[int]] = {}
        for item in items:
            if isinstance(item, Marker):
                places.setdefault(item.name, []).append(at)
            else:
                firsts[at] = item
                at += len(item.links)
        behind.append(places)
        ends.append(at)
    for index, rule in firsts.items():
        marks = behind[rule.phase - 1]
        for offset, link in enumerate(rule.links):
            resolved = tuple(resolve(removal, firsts) for owner, removal in rule.removals if owner == offset)
            skip = -1
            if rule.skip is not None and offset == 0:
                skip = next((place for place in marks.get(rule.skip, []) if place > index), ends[rule.phase - 1])
            yield replace(link, ctls=link.ctls + resolved, skip_to=skip)


def resolve(removal: Removal, firsts: dict[int, Lowered]) -> Ctl:
    rules = tuple(
        index
        for index, rule in firsts.items()
        if any(span.first <= rule.id <= span.last for span in removal.ids)
        or (removal.tag and removal.tag in rule.links[0].tags)
        or any(rule in which for which in removal.which)
    )
    return Ctl(
        removal.control, rules=rules, selector=removal.selector if removal.control == Control.REMOVE_TARGETS else None
    )


# ---- who reads what


def references(link: Link) -> Iterator[Reference]:
    for text in (link.argument, *(part for change in link.sets for part in (change.name, change.value))):
        yield from (part for part in text if isinstance(part, Reference))


def read_names(link: Link) -> Iterator[bytes]:
    """The TX names that a link reads; b"" for a pattern of names."""
    for selected in link.selectors:
        if selected.variable == Variable.TX:
            yield selected.name
    yield from (r.name for r in references(link) if r.variable == Variable.TX)


def is_capture(name: bytes) -> bool:
    return len(name) == 1 and name.isdigit()


def captured(links: Sequence[Link], index: int) -> bool:
    """Does the link's own chain read what it captures?"""
    end = index
    while links[end].chained:
        end += 1
    return any(is_capture(name) for link in links[index : end + 1] for name in read_names(link))


def borrowers(links: Sequence[Link]) -> list[Link]:
    """Links that read captures which no link of their own chain has made: then every capture must be kept."""
    found, capturing, first = [], False, True
    for link in links:
        capturing = link.capture or (capturing and not first)
        if not capturing and any(is_capture(name) for name in read_names(link)):
            found.append(link)
        first = not link.chained
    return found


def names_set(links: Iterable[Link]) -> set[bytes]:
    return {
        b"".join(part for part in change.name if isinstance(part, bytes))
        for link in links
        for change in link.sets
        if change.collection == Variable.TX and all(isinstance(part, bytes) for part in change.name)
    }


def names_used(links: Sequence[Link]) -> set[bytes]:
    return {name for link in links for name in read_names(link)} | names_set(links)
