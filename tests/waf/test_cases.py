"""The cases of SecLang's own suite through the whole engine: a rule for each, a request for each input.

Each rule is scanned for and, in a second program, evaluated in its turn. `tests/bytes` holds the functions beneath
against the same cases.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ratelimitd._ext.waf.probe import Program as Probe

from ratelimitd.errors import PolicyError
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.program import Program
from ratelimitd.waf.seclang import load
from tests.bytes.seclang import CASES, case_bytes, needs_cases, operator_cases, transformation_cases

from .mmdb import COUNTRIES, write_places

pytestmark = needs_cases

# What is refused when rules are loaded, and so cannot be tried: (operator, argument) and what the error says.
LACKS = ("beginsWith", "contains", "containsWord", "endsWith", "rx", "rxGlobal", "streq", "validateByteRange", "within")
REFUSED = {
    **{(name, ""): "lacks its argument" for name in LACKS},
    ("ipMatch", "10.0.0.0/100"): "not an address or a network",
    ("validateByteRange", "xxx"): "not a range of bytes",
}

BARE = ("geoLookup", "noMatch", "unconditionalMatch")  # take no argument; the suite gives one to all operators
ESCAPED = ("validateUrlEncoding", "validateUtf8Encoding")  # inputs are bytes, written with \x


def names(folder: str) -> list[str]:
    return sorted(path.stem for path in (CASES / folder).glob("*.json"))


def compiled(folder: Path, rules: Iterable[str]) -> Program:
    path = folder / "rules.conf"
    write_places(folder / "places.mmdb", COUNTRIES)
    path.write_text("\n".join(["SecGeoLookupDb places.mmdb", *rules]), encoding="utf-8")
    return compile_rules(load([path]))


def answers(program: Program, values: Iterable[bytes]) -> dict[bytes, set[int]]:
    """The rules that match each value: the same ones whether scanned for or not."""
    scanning, direct = Probe(program), Probe(program, direct=True)
    found = {}
    for value in values:
        request = {"method": b"GET", "path": b"/?x=" + b"".join(b"%%%02x" % byte for byte in value)}
        one, other = ({f["rule"] for f in probe.run(request, detect=True)["fired"]} for probe in (scanning, direct))
        assert one == other, value
        found[value] = one
    return found


def operand(case: dict[str, Any]) -> bytes:
    if case["name"] in ESCAPED:
        return case_bytes(case["input"])
    text: str = case["input"]
    # The suite's runner hands over C strings there.
    return text.encode().split(b"\0")[0] if case["name"] == "validateByteRange" else text.encode()


def argument(case: dict[str, Any]) -> str:
    """Without the folder that the suite's own runner starts in."""
    if case["name"] in BARE:
        return ""
    text: str = case.get("param", "")
    return text.rpartition("/")[2] if case["name"] == "pmFromFile" else text


def operator_rule(number: int, name: str, text: str) -> str:
    return f'SecRule ARGS:x "@{name} {text}" "id:{number},phase:1,pass,t:none"'


@pytest.mark.parametrize("name", names("operators"))
def test_operators(name: str, tmp_path: Path) -> None:
    for data in (CASES / "operators" / "op").iterdir():
        shutil.copy(data, tmp_path)
    cases = [case for case in operator_cases(name) if (name, argument(case)) not in REFUSED]
    number = {text: i for i, text in enumerate(dict.fromkeys(map(argument, cases)), 1)}
    rules = compiled(tmp_path, [operator_rule(i, name, text) for text, i in number.items()])
    matched = answers(rules, map(operand, cases))
    for case in cases:
        assert (number[argument(case)] in matched[operand(case)]) == bool(case["ret"]), case


@pytest.mark.parametrize(("name", "text"), REFUSED, ids=lambda part: part or "nothing")
def test_what_is_refused_is_named(name: str, text: str, tmp_path: Path) -> None:
    assert text in map(argument, operator_cases(name)), "strike it off"
    with pytest.raises(PolicyError) as error:
        compiled(tmp_path, [operator_rule(1, name, text)])
    assert REFUSED[name, text] in str(error.value)
    assert "rules.conf:2" in str(error.value)


@pytest.mark.parametrize("name", names("transformations"))
def test_transformations(name: str, tmp_path: Path) -> None:
    """The output is compared in hexadecimal: any bytes can stand in a rule so. @streq cannot ask for none."""
    cases = transformation_cases(name)
    expected = [case_bytes(case["output"]).hex() for case in cases]
    number = {text: i for i, text in enumerate(dict.fromkeys(expected), 1)}
    rules = [
        f'SecRule ARGS:x "{f"@streq {text}" if text else "@rx ^$"}" "id:{i},phase:1,pass,t:none,t:{name},t:hexEncode"'
        for text, i in number.items()
    ]
    matched = answers(compiled(tmp_path, rules), (case_bytes(case["input"]) for case in cases))
    for case, text in zip(cases, expected, strict=True):
        assert matched[case_bytes(case["input"])] == {number[text]}, case
