"""docs/policy.md: every example loads, every key, word and code is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimitd.policy import load_text, names
from ratelimitd.policy.codes import CODES
from ratelimitd.policy.schema import json_schema
from ratelimitd.waf.seclang.codes import CODES as SECLANG_CODES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", TEXT, flags=re.M | re.S)
HEAD = "version: 1\ndomain: docs\n"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_loads(number: int) -> None:
    text = EXAMPLES[number]
    policy = load_text(text if re.search(r"^version:", text, flags=re.M) else HEAD + text)
    assert policy.warnings == ()


def test_every_key_is_documented() -> None:
    schema = json_schema()
    keys = {key for model in [schema, *schema["$defs"].values()] for key in model["properties"]}
    assert len(keys) > 70
    assert sorted(key for key in keys if f"`{key}`" not in TEXT) == []


def test_every_word_is_documented() -> None:
    words = [*names.TARGETS, *names.TRANSFORMATIONS, *names.ALGORITHMS, *names.SCAN_MODES, *names.HEADER_FAMILIES]
    words += [*names.OPERATORS, *names.MATCH_KEYS, *names.PLAIN_SOURCES]
    assert sorted(word for word in words if f"`{word}`" not in TEXT) == []


def test_every_code_is_documented() -> None:
    table = dict(re.findall(r"^\| (P[0-9]{3}) \| (.*) \|$", TEXT, flags=re.M))
    assert table == CODES


def test_every_code_of_rule_files_is_documented() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "waf.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| (S[0-9]{3}) \| (.*) \|$", text, flags=re.M)) == SECLANG_CODES
