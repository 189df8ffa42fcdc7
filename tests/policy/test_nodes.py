"""The tree: scalars by YAML 1.2, places by line and column, whichever parser reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ratelimitd.policy.nodes import Node, compose_with, scalar_of

HERE = Path(__file__).resolve().parent
GOOD = sorted((HERE / "good").glob("*.yaml"))


def places(node: Node) -> Any:
    if node.items is not None:
        return {(text, key.line, key.column): places(value) for text, (key, value) in node.items.items()}
    if node.children is not None:
        return [places(child) for child in node.children]
    return node.line, node.column, node.value


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_both_parsers_find_the_same_places(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    fast, sure = (places(compose_with(text, path.name, pure=pure).root) for pure in (False, True))
    assert fast == sure


def test_keys_and_values_know_their_places() -> None:
    document = compose_with("a: 1\nb:\n  - {c: é, d: x}\n", "f.yaml", pure=True)
    assert str(document.position(("b", 0, "d"))) == "f.yaml:3:15"
    assert str(document.position(("b", 0, "d"), key=True)) == "f.yaml:3:12"
    assert str(document.position(("b", "any", 0, "d"))) == "f.yaml:3:15"
    assert document.line(3) == "  - {c: é, d: x}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_counts_once(end: str) -> None:
    for pure in (False, True):
        document = compose_with(f"a: 1{end}b: 2{end}", "f.yaml", pure=pure)
        assert str(document.position(("b",))) == "f.yaml:2:4"
        assert document.line(2) == "b: 2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("off", "off"),
        ("12", 12),
        ("-7", -7),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("2001-01-01", "2001-01-01"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert scalar_of(text) == value
    assert type(scalar_of(text)) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(scalar_of(".nan"))  # type: ignore[arg-type]
