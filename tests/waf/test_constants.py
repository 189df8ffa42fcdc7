"""The engine's numbers are those of the program's enums."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from ratelimitd.waf import program

HEADER = (Path(__file__).resolve().parents[2] / "ext/waf/constants.h").read_text()
ENUMS = {
    program.Variable: "WAF_",
    program.Operator: "WAF_OP_",
    program.Change: "WAF_CHANGE_",
    program.Control: "WAF_CTL_",
    program.Engine: "WAF_ENGINE_",
    program.Processor: "WAF_BODY_",
    program.Disruption: "WAF_DISRUPT_",
}
BLOCKS = [
    {name: int(number) for name, number in re.findall(r"(\w+) = (\d+),", block)}
    for block in re.findall(r"enum \{(.*?)\};", HEADER, re.DOTALL)
]


@pytest.mark.parametrize(("kind", "prefix", "block"), list(zip(ENUMS, ENUMS.values(), BLOCKS, strict=True)))
def test_names_and_numbers_are_equal(kind: type[IntEnum], prefix: str, block: dict[str, int]) -> None:
    wanted = {prefix + member.name: member.value for member in kind}
    if kind is program.Variable:
        wanted["WAF_SOURCES"] = program.SOURCES
    assert block == wanted


def test_the_names_that_people_read_are_in_their_places() -> None:
    names = re.findall(r'"(.*?)",', HEADER.partition("waf_variable_names")[2])
    said = {"XML_TEXT": "XML:/*", "XML_ATTRIBUTES": "XML://@*"}
    wanted = {variable.value: said.get(variable.name, variable.name) for variable in program.Variable}
    assert {number: name for number, name in enumerate(names) if name} == wanted


def test_sources_come_first() -> None:
    numbers = [variable.value for variable in program.Variable]
    assert [n for n in numbers if n < program.SOURCES] == list(range(program.SOURCES))
