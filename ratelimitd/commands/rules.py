"""The rules' part of `explain --request`: what fired and why the rest did not, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from ratelimitd.policy.outcomes import Hit, Outcome
from ratelimitd.policy.render import visible
from ratelimitd.summary import plural

MAX_SHOWN = 120  # characters of a value that people see


def score_words(outcomes: Iterable[Outcome], score: int) -> str:
    """What the rules that fired come to; empty when none did."""
    fired = [outcome for outcome in outcomes if outcome.fired]
    denying = next((f", rule {outcome.rule} denies" for outcome in fired if outcome.deny), "")
    return f"score {score}{denying}" if fired else ""


def outcome_json(outcome: Outcome, *, show_values: bool) -> dict[str, Any]:
    """Values only when asked for: they are what a client sent."""
    data = asdict(outcome)
    data["hits"] = [
        {"target": hit.target, "bytes": len(hit.value)} | ({"value": hit.value} if show_values else {})
        for hit in outcome.hits
    ]
    return data


def add_outcomes(rows: Table, outcomes: Sequence[Outcome], *, show_values: bool) -> None:
    """A row for each rule that fired, and one for all that did not for the same reason."""
    for outcome in outcomes:
        if outcome.fired:
            rows.add_row(Text("  fired", "bold yellow"), Text(outcome.rule), fired_words(outcome, show_values))
    for because, rules in by_reason(outcomes).items():
        name = rules[0] if len(rules) == 1 else plural(len(rules), "rule")
        ids = f"\n{', '.join(rules)}" if 1 < len(rules) < len(outcomes) else ""
        rows.add_row(Text("  no", "dim"), Text(name), Text(f"{because}{ids}", "dim"))


def by_reason(outcomes: Iterable[Outcome]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        if not outcome.fired:
            found.setdefault(outcome.because, []).append(outcome.rule)
    return found


def fired_words(outcome: Outcome, show_values: bool) -> Text:
    words = Text("denies" if outcome.deny else f"score {outcome.score}")
    if outcome.hits:  # an action without conditions has none
        words.append(f"  {visible(outcome.hits[0].target)}", "cyan")
        words.append(f" {value_words(outcome.hits[0], show_values)}")
    if outcome.after:
        words.append(f" after {' > '.join(outcome.after)}", "dim")
    if len(outcome.hits) > 1:
        words.append(f" and {len(outcome.hits) - 1} more", "dim")
    if outcome.message:
        words.append(f"  {visible(outcome.message)}", "dim")
    return words


def value_words(hit: Hit, show_values: bool) -> str:
    if not show_values:
        return f"({plural(len(hit.value), 'byte')})"
    text = visible(hit.value.decode("utf-8", "backslashreplace"))
    return f"= {text[:MAX_SHOWN]}{'...' if len(text) > MAX_SHOWN else ''}"
