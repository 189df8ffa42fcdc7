"""The rules' part of `explain --request`: what fired and why the rest did not, for people and for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.table import Table
from rich.text import Text

from ratelimitd.policy.outcomes import MACRO, Hit, Outcome
from ratelimitd.policy.render import visible
from ratelimitd.redact import clear, shape, shown
from ratelimitd.summary import plural

MAX_HITS = 4  # fields that are shown of one rule
MAX_SAID = 400  # characters of a message


def score_words(outcomes: Iterable[Outcome], score: int, denies: str = "denies") -> str:
    """What the rules that fired come to; empty when none did."""
    fired = [outcome for outcome in outcomes if outcome.fired]
    denying = next((f", rule {outcome.rule} {denies}" for outcome in fired if outcome.deny), "")
    return f"score {score}{denying}" if fired else ""


def outcome_json(outcome: Outcome, *, show_values: bool) -> dict[str, Any]:
    """Values only when asked for: they are what a client sent."""
    data = asdict(replace(outcome, macros={}, message=said(outcome, show_values)))
    del data["macros"]
    data["hits"] = [
        {"target": hit.target, "bytes": len(hit.value), "like": shape(hit.value)}
        | ({"value": hit.value} if show_values else {})
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
    """What the rule says and does, then a line for each field that it found."""
    words = Text("denies" if outcome.deny else f"score {outcome.score}")
    if outcome.message:
        words.append(f"  {visible(said(outcome, show_values))[:MAX_SAID]}")
    after = f" after {' > '.join(outcome.after)}" if outcome.after else ""
    told = list(dict.fromkeys(outcome.hits))
    for number, hit in enumerate(told[:MAX_HITS]):
        words.append(f"\n{visible(hit.target)}", "cyan")
        words.append(f" {value_words(hit, show_values)}")
        words.append("" if number else after, "dim")
    if len(told) > MAX_HITS:
        words.append(f"\nand {len(told) - MAX_HITS} more", "dim")
    return words


def value_words(hit: Hit, show_values: bool) -> str:
    return f"= {clear(hit.value)}" if show_values else f"({shown(hit.target, hit.value)})"


def said(outcome: Outcome, show_values: bool) -> str:
    """The rule's message, its macros filled in as far as they are known."""

    def fill(found: re.Match[str]) -> str:
        name = found[1].lower()
        if name not in outcome.macros:
            return found[0]
        value = outcome.macros[name]
        target = name.replace(".", ":", 1).upper()
        return clear(value) if show_values or name == "matched_var_name" else shown(target, value)

    return " ".join(MACRO.sub(fill, outcome.message).replace("\\\n", " ").split())
