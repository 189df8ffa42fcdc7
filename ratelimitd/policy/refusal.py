"""What the engine refuses of a policy that passed all checks, told at its places in the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ratelimitd.errors import BadPattern, Diagnostic, EngineError, Position
from ratelimitd.policy.load import SourceFile, compose_all
from ratelimitd.policy.nodes import Document, Node, Path
from ratelimitd.policy.rulesets import with_excerpt


def refusal(sources: Sequence[SourceFile], error: EngineError) -> list[Diagnostic]:
    """Every bad pattern with its line; else what the engine says. `sources`: the files that the plan was made of."""
    if not error.patterns:
        return [Diagnostic("E001", f"the engine refuses this policy: {error}")]
    documents, _ = compose_all(sources)
    told: dict[object, Diagnostic] = {}  # a pattern has one fault, however many parts of the engine find it
    for bad in error.patterns:
        for found in pattern_diagnostics(documents, bad):
            told.setdefault((found.position, bad.pattern), found)
    return list(told.values())


def pattern_diagnostics(documents: Sequence[Document], bad: BadPattern) -> list[Diagnostic]:
    """At every place that has it; without a place when it came from no file."""
    message = f"bad pattern: {bad.message}"
    domain = _text(bad.domain)
    found = [
        document.diagnostic("P305", message, path)
        for document in documents
        if document.find(("domain",))[1].value == domain
        for path in places(document.root, (), bad)
    ]
    whose = f"rule {_text(bad.rule)}: " if bad.rule else ""
    file, _, line = bad.place.rpartition(":")
    position = Position(file, int(line), 1) if line.isdigit() else None
    return found or [with_excerpt(Diagnostic("P305", f"{whose}{message} ({_text(bad.pattern)})", position))]


def places(node: Node, path: Path, bad: BadPattern) -> Iterator[Path]:
    """Where the pattern stands: in the rule that it belongs to, or in a condition."""
    if node.items is not None:
        if bad.rule and len(path) == 3 and path[:2] == ("scan", "rules") and id_of(node) != _text(bad.rule):
            return
        for key, (_, value) in node.items.items():
            yield from places(value, (*path, key), bad)
    elif node.children is not None:
        for index, child in enumerate(node.children):
            yield from places(child, (*path, index), bad)
    elif node.value in _spellings(bad) and (path[:2] == ("scan", "rules") if bad.rule else "regex" in path):
        yield path


def id_of(rule: Node) -> str:
    return str(rule.items["id"][1].value) if rule.items and "id" in rule.items else ""


def _spellings(bad: BadPattern) -> tuple[str, ...]:
    """As a file may have it: `ignore_case` of a condition is written into the pattern."""
    pattern = _text(bad.pattern)
    insensitive = pattern.startswith("(?i:") and pattern.endswith(")")
    return (pattern, pattern[4:-1]) if insensitive else (pattern,)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")
