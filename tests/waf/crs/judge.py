"""Runs stages on an engine and holds the outcomes against the list of those that are known not to pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from ..message import Engine
from .stages import Stage

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outcome:
    """`faults` is empty for a stage that passed."""

    stage: Stage
    faults: str


def run(engine: Engine, stages: Iterable[Stage]) -> list[Outcome]:
    return [Outcome(stage, stage.faults(engine(stage.request, stage.response))) for stage in stages]


def left(file: str) -> dict[str, str]:
    """The stages of a list of ours that do not pass: name to reason."""
    listed: dict[str, str] = YAML(typ="safe").load((HERE / file).read_text()) or {}
    assert all(reason.strip() for reason in listed.values()), f"{file}: each has a reason"
    return listed


def complaints(outcomes: Iterable[Outcome], listed: dict[str, str]) -> list[str]:
    """What contradicts the list: a stage that fails and is not on it, one that passes and is."""
    said = []
    for outcome in outcomes:
        name, known = outcome.stage.name, outcome.stage.name in listed
        if outcome.faults and not known:
            said.append(f"{name}: {outcome.faults} ({outcome.stage.about})")
        elif known and not outcome.faults:
            said.append(f"{name} passes now: strike it off the list")
    return said


def rate(outcomes: list[Outcome]) -> float:
    """The percentage that passed."""
    return 100 * sum(not outcome.faults for outcome in outcomes) / len(outcomes)
