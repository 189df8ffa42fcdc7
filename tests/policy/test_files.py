"""The files in good/ and bad/: what loads, and what is told about what does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from ratelimitd.errors import PolicyError
from ratelimitd.policy import load_policy
from ratelimitd.policy.codes import CODES
from ratelimitd.policy.schema import json_schema

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
GOOD = [
    *sorted((HERE / "good").glob("*.yaml")),
    *sorted((ROOT / "examples" / "policies").glob("*.yaml")),
    ROOT / "ratelimitd" / "starter.yaml",
]
BAD = sorted((HERE / "bad").glob("*.yaml"))


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", GOOD, ids=name_of)
def test_a_good_file_compiles_without_a_warning(path: Path) -> None:
    policy = load_policy(path)
    assert len(policy.plan.domains) == 1
    assert policy.plan.default_domain
    assert policy.warnings == ()


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def keys_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): keys_as_text(item) for key, item in value.items()}
    return [keys_as_text(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", [p for p in GOOD if p.stem != "yaml-1.2"], ids=name_of)
def test_the_json_schema_accepts_a_good_file(path: Path, validator: Any) -> None:
    data = keys_as_text(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize("stem", ["unknown-keys", "unknown-words", "wrong-types", "out-of-range", "malformed"])
def test_the_json_schema_refuses_a_bad_shape(stem: str, validator: Any) -> None:
    data = keys_as_text(YAML(typ="safe", pure=True).load((HERE / "bad" / f"{stem}.yaml").read_text(encoding="utf-8")))
    assert not validator.is_valid(data)


def test_every_key_of_the_json_schema_says_what_it_is_for() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name, model in [("PolicySpec", schema), *schema["$defs"].items()]:
        assert model.get("description"), name
        for key, field in model.get("properties", {}).items():
            assert field.get("description") or "$ref" in field, f"{name}.{key}"


@pytest.mark.parametrize("path", BAD, ids=name_of)
def test_a_bad_file_is_told_everything_with_its_place(path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    told = [f"{d.code}:{d.position.line}:{d.position.column}" for d in caught.value.diagnostics if d.position]
    assert told == path.with_suffix(".expected").read_text(encoding="utf-8").split()


def test_every_code_is_explained_and_shown_by_a_bad_file() -> None:
    source = "".join(
        p.read_text(encoding="utf-8") for p in (ROOT / "ratelimitd" / "policy").rglob("*.py") if p.stem != "codes"
    )
    used = set(re.findall(r'"(P[1-9][0-9]{2})"', source))
    assert used == set(CODES)
    expected = "".join(path.with_suffix(".expected").read_text(encoding="utf-8") for path in BAD)
    across_files = {"P107", "P301", "P318"}  # see test_load
    across_files |= {"P501", "P502", "P503"}  # of other files: see tests/ratelimit/test_fixtures.py
    assert set(re.findall(r"P[0-9]{3}", expected)) == set(CODES) - across_files
