"""A rule program in words: what runs, and what one rule does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ratelimitd.waf.program import (
    Change,
    Control,
    Ctl,
    Disruption,
    Engine,
    Link,
    Operator,
    Processor,
    Program,
    Reference,
    Selector,
    SetVariable,
    Text,
    Variable,
)

MAX_PATTERN = 400  # bytes of a pattern that are shown
MAX_PHRASES = 12
_NO_NAME = (Variable.XML_TEXT, Variable.XML_ATTRIBUTES)
_DECISIONS = {
    Disruption.DENY: "deny",
    Disruption.ALLOW: "let the request pass: no more rules",
    Disruption.ALLOW_PHASE: "no more rules of this phase",
    Disruption.ALLOW_REQUEST: "no more rules for the request",
}
_CHANGES = {
    Change.SET: "=",
    Change.ADD: "+=",
    Change.SUBTRACT: "-=",
    Change.UNSET: "is unset",
    Change.EXPIRE: "goes in seconds:",
    Change.DEPRECATE: "falls over seconds by",
}


def shown(value: bytes, limit: int = MAX_PATTERN) -> str:
    text = value[:limit].decode("utf-8", "backslashreplace")
    return f"{text}... ({len(value)} bytes)" if len(value) > limit else text


def text_words(text: Text, limit: int = MAX_PATTERN) -> str:
    return "".join(reference_words(part) if isinstance(part, Reference) else shown(part, limit) for part in text)


def reference_words(part: Reference) -> str:
    return f"%{{{part.variable.name.lower()}{'.' + shown(part.name) if part.name else ''}}}"


def selector_words(selector: Selector) -> str:
    """As SecLang writes it."""
    name = ""
    if selector.regex:
        name = f":/{shown(selector.regex)}/"
    elif selector.name and selector.variable not in _NO_NAME:
        name = f":{shown(selector.name)}"
    return f"{'!' if selector.exclude else '&' if selector.count else ''}{selector.variable.name}{name}"


def operator_words(link: Link) -> str:
    name = f"{'not ' if link.negated else ''}{link.operator.name.lower()}"
    if link.operator == Operator.PHRASES:
        some = ", ".join(shown(phrase, 40) for phrase in link.phrases[:MAX_PHRASES])
        more = f", and {len(link.phrases) - MAX_PHRASES} more" if len(link.phrases) > MAX_PHRASES else ""
        return f"{name} {some}{more}"
    return f"{name} {text_words(link.argument)}".rstrip()


def set_words(change: SetVariable) -> str:
    if change.change == Change.BIND:
        return f"{change.collection.name.lower()} is that of {text_words(change.value)}"
    value = f" {text_words(change.value)}" if change.change != Change.UNSET else ""
    return f"{change.collection.name.lower()}.{text_words(change.name)} {_CHANGES[change.change]}{value}"


def ctl_words(ctl: Ctl, links: Sequence[Link]) -> str:
    names = ", ".join(dict.fromkeys(name_of(links[index]) for index in ctl.rules[:40]))
    rules = f"{names}{', ...' if len(ctl.rules) > 40 else ''}" or "no rule"
    if ctl.control == Control.REMOVE_RULES:
        return f"take away {rules}"
    if ctl.control == Control.REMOVE_TARGETS:
        assert ctl.selector is not None
        return f"take {selector_words(ctl.selector)} from {rules}"
    if ctl.control == Control.ENGINE:
        return f"engine {Engine(ctl.value).name.lower()}"
    if ctl.control == Control.BODY_PROCESSOR:
        return f"read the body as {Processor(ctl.value).name.lower()}"
    return f"{ctl.control.name.lower()} {'on' if ctl.value else 'off'}"


def name_of(link: Link) -> str:
    return shown(link.name) or (str(link.rule) if link.rule else "(no id)")


# ---- a program


def chains(program: Program) -> Iterator[tuple[int, tuple[Link, ...]]]:
    """The rules: index of the first link, links."""
    first = 0
    for index, link in enumerate(program.links):
        if not link.chained:
            yield first, program.links[first : index + 1]
            first = index + 1


def phases(program: Program) -> dict[int, int]:
    """How many rules each phase has."""
    return dict(sorted(Counter(links[0].phase for _, links in chains(program)).items()))


def find(program: Program, name: str) -> list[tuple[int, tuple[Link, ...]]]:
    return [(first, links) for first, links in chains(program) if name_of(links[0]) == name]


def rule_lines(program: Program, links: Sequence[Link], scanned: bool) -> Iterator[str]:
    """What a rule does, line by line."""
    head = links[0]
    where = f" from {head.origin}" if head.origin else ""
    yield f"rule {name_of(head)}, phase {head.phase}{where}"
    if head.message:
        yield f"  says: {text_words(head.message)}"
    for number, link in enumerate(links):
        yield from link_lines(program, link, "when" if number == 0 else "and when")
    if head.disruption != Disruption.NONE:
        status = f" with {head.status}" if head.disruption == Disruption.DENY else ""
        yield f"  then: {_DECISIONS[head.disruption]}{status}"
    if head.skip_to >= 0:
        rest = program.links[head.skip_to : head.skip_to + 1]
        yield f"  then: go on {'at rule ' + name_of(rest[0]) if rest else 'at the end'}"
    if not head.log:
        yield "  its matches are not told of"
    yield f"  runs: {'all fields are searched for it in one pass' if scanned else 'in its turn'}"


def link_lines(program: Program, link: Link, word: str) -> Iterator[str]:
    if link.selectors:
        fields = ", ".join(map(selector_words, link.selectors))
        yield f"  {word}: {operator_words(link)}"
        yield f"    in: {fields}"
    else:
        yield f"  {word}: always"
    if link.transformations:
        steps = " > ".join(t.name.lower() for t in link.transformations)
        yield f"    after: {steps}{', and after each step' if link.multi_match else ''}"
    if link.capture:
        yield "    keeps what its groups found"
    for change in link.sets:
        yield f"    sets: {set_words(change)}"
    for ctl in link.ctls:
        yield f"    does: {ctl_words(ctl, program.links)}"


def program_data(program: Program) -> dict[str, object]:
    found = [*chains(program)]
    return {
        "rules": len(found),
        "by_phase": {str(phase): count for phase, count in phases(program).items()},
        "folded": program.folded,
        "files": len(program.sources),
    }
