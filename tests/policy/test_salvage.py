"""One run tells every error that can be known: what is broken hides nothing else, and causes no error of its own."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ratelimitd.errors import Diagnostic, PolicyError
from ratelimitd.policy import load_text
from ratelimitd.policy.nodes import Path as Steps
from ratelimitd.policy.nodes import compose
from ratelimitd.policy.salvage import STAND_INS, salvage
from ratelimitd.policy.schema import PolicySpec
from ratelimitd.policy.shape import examine, keys_of, told

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
GOOD = [HERE / "good" / "everything.yaml", ROOT / "examples" / "policies" / "shop.yaml"]


def refused(text: str) -> list[Diagnostic]:
    try:
        load_text(text)
    except PolicyError as error:
        return error.diagnostics
    return []


def codes(text: str) -> list[str]:
    return [f"{d.code}:{d.position.line}" for d in refused(text) if d.position]


def places(value: Any, path: Steps = ()) -> Iterator[Steps]:
    steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        yield (*path, step)
        yield from places(value[step], (*path, step))


def broken(data: Any, path: Steps) -> Iterator[Any]:
    """The data with one mistake at a place: the value of the wrong kind, or the key of no known name."""
    for value in (None, {"zz z": 1}, -1):
        made = copy.deepcopy(data)
        at(made, path[:-1])[path[-1]] = value
        yield made
    if isinstance(path[-1], str):
        made = copy.deepcopy(data)
        inner = at(made, path[:-1])
        inner["zz " + path[-1]] = inner.pop(path[-1])
        yield made


def at(data: Any, path: Steps) -> Any:
    for step in path:
        data = data[step]
    return data


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_a_mistake_of_shape_in_a_good_policy_is_all_that_is_told(path: Path) -> None:
    data = compose(path.read_text(encoding="utf-8"), "policy.yaml").root.data()
    tried = 0
    for place in places(data):
        for made in broken(data, place):
            text = json.dumps(made)
            shape = told(examine(compose(text, "policy.yaml"), PolicySpec)[1])
            if shape:
                assert sorted(map(str, refused(text))) == sorted(map(str, shape)), place
                tried += 1
    assert tried > 50


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_a_key_that_is_set_twice_is_all_that_is_told(path: Path) -> None:
    data = compose(path.read_text(encoding="utf-8"), "policy.yaml").root.data()
    for place in places(data):
        if isinstance(place[-1], str):
            made = copy.deepcopy(data)
            inner = at(made, place[:-1])
            mark = f"{place[-1]}\0"
            inner[mark] = None
            first = json.dumps(place[-1])
            text = json.dumps(made).replace(json.dumps(mark) + ": null", f"{first}: {{}}")
            assert [d.code for d in refused(text)] == ["P103"], place


def test_errors_of_meaning_are_told_beside_errors_of_shape() -> None:
    assert codes("""version: 2
domain: my shop
lists:
  a: {allow: [10.0.0.0/8], deny: [11.0.0.0/8]}
  b: {deny: [10.0.0.1/8, 192.0.2.0/24]}
  c: {allow: [192.0.2.0/24]}
limits:
  a: {key: [path.user, client.ipp], limit: 5, widnow: 1m}
  b: {match: {path: users, metod: GET}, key: client.ip, limit: "5", window: 50d}
  c: {match: {path: {regex: "a("}}, key: client.ip}
scan:
  mode: blcok
  rules:
    - {pattern: "b("}
    - {id: 7, pattern: ["c(", d], targets: nothing}
    - {id: 7, patterns: ["e(", 5], targets: ["!args:a"]}
  disable: [zz]
tests:
  - {name: a, requests: {path: x, reepeat: 6}, expect: {limit: logn, denied: 9}}
""") == [
        "P204:1",
        "P206:2",
        "P309:4",
        "P207:5",
        "P310:6",
        "P304:8",
        "P204:8",
        "P203:8",
        "P317:9",
        "P203:9",
        "P202:9",
        "P303:9",
        "P201:10",
        "P201:10",
        "P305:10",
        "P204:12",
        "P201:14",
        "P201:14",
        "P305:14",
        "P202:15",
        "P204:15",
        "P311:16",
        "P305:16",
        "P202:16",
        "P312:16",
        "P312:16",
        "P316:17",
        "P317:19",
        "P203:19",
        "P315:19",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "limist: {login: {key: client.ip, limit: 1, window: 1m}}",
        "limits: [login]",
        "limits: {login: 5}",
        "limits: {login: {key: client.ip, limit: 1, window: 60}}",
        "limits: {log in: {key: client.ip, limit: 1, window: 1m}}",
    ],
)
def test_a_limit_that_was_cut_out_is_still_known_to_tests(text: str) -> None:
    more = "tests: [{name: a, requests: {}, expect: {limit: login, denied: 0}}]"
    (problem,) = refused(f"version: 1\ndomain: d\n{text}\n{more}\n")
    assert problem.code != "P315"


def test_a_limit_that_never_was_is_told_beside_one_that_was_cut_out() -> None:
    assert codes("""version: 1
domain: d
limits: {login: 5}
tests: [{name: a, requests: {}, expect: {limit: logout, denied: 0}}]
""") == ["P202:3", "P315:4"]


def test_a_merge_key_may_have_brought_anything() -> None:
    assert codes("""version: 1
domain: d
limits:
  a: &a {key: client.ip, limit: 1, window: 1m}
  b: {<<: *a, key: path.x}
  c: {limit: 1, window: 1m, limit: 2, key: path.x}
""") == ["P104:5", "P103:6", "P304:6"]


def test_an_alias_is_as_broken_as_its_anchor() -> None:
    assert codes("""version: 1
domain: d
limits:
  a: {match: &m {path: /a, path: /b}, key: path.x, limit: 1, window: 1m}
  b: {match: *m, key: path.x, limit: 1, window: 1m}
  c: {match: {path: /a}, key: path.x, limit: 1, window: 1m}
""") == ["P103:4", "P304:6"]


def test_places_stay_those_of_the_file() -> None:
    """A list of which an item was cut out does not move the others."""
    text = "version: 1\ndomain: d\nscan:\n  rules:\n    - 5\n    - {id: a, pattern: 'a(', targets: [zz, args]}\n"
    shape, target, pattern = sorted(refused(text), key=lambda d: d.code)
    assert [str(d.position) for d in (shape, target, pattern)] == [
        "policy.yaml:5:7",
        "policy.yaml:6:40",
        "policy.yaml:6:24",
    ]
    assert pattern.excerpt == "    - {id: a, pattern: 'a(', targets: [zz, args]}"


def test_every_required_key_has_a_stand_in() -> None:
    """Without one the whole entry is cut out, and what is wrong inside it is not told."""
    models = {PolicySpec}
    for _ in range(5):
        models |= {m for model in models for field in model.model_fields.values() for m in models_in(field.annotation)}
    required = {
        (model.__name__, key)
        for model in models
        for key, field in zip(keys_of(model), model.model_fields.values(), strict=True)
        if field.is_required()
    }
    assert required == {(model.__name__, key) for model, keys in STAND_INS.items() for key in keys}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from models_in(inner)


def test_nothing_left_is_no_crash() -> None:
    found = salvage(compose("{}", "policy.yaml"), PolicySpec)
    assert [d.code for d in found.diagnostics] == ["P201", "P201"]
    assert found.model is not None
