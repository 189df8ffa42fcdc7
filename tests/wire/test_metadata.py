"""What earlier filters left in a request's metadata, looked up by name where it lies."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ratelimitd._ext.wire import probe

JWT = "envoy.filters.http.jwt_authn"
CLAIMS = {
    JWT: {
        "payload": {
            "sub": "ada",
            "https://shop.example/plan": "gold",
            "exp": 1_900_000_000,
            "ratio": 0.25,
            "admin": True,
            "blocked": False,
            "nothing": None,
            "roles": ["reader", "writer of notes", 7, None, {"a": 1}, True],
            "none": [],
            "orgs": [{"id": "o-1"}, {"id": "o-2", "teams": [["x", "y"]]}],
            "": "unnamed",
            "empty": "",
        }
    },
    "envoy.lb": {"canary": "yes"},
}


@pytest.fixture(scope="session")
def serialized(message):
    def serialize(filters: dict[str, dict[str, Any]]) -> bytes:
        metadata = message("envoy.config.core.v3.Metadata")()
        for name, fields in filters.items():
            metadata.filter_metadata[name].update(fields)
        return metadata.SerializeToString()

    return serialize


def find(metadata: bytes, name: str) -> str | None:
    text, _ = probe.find_metadata(metadata, name.encode())
    return None if text is None else text.decode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("payload.sub", "ada"),
        ("payload.https://shop.example/plan", "gold"),
        ("payload.exp", "1900000000"),
        ("payload.ratio", "0.25"),
        ("payload.admin", "true"),
        ("payload.blocked", "false"),
        ("payload.roles", "reader writer of notes 7 true"),
        ("payload.roles.0", "reader"),
        ("payload.roles.2", "7"),
        ("payload.none", ""),
        ("payload.orgs", ""),
        ("payload.orgs.1.id", "o-2"),
        ("payload.orgs.1.teams.0.1", "y"),
        ("payload.empty", ""),
        *[(f"payload{rest}", None) for rest in ("", ".", ".nothing", ".no", ".sub.x", ".su", ".subx", ".roles.6")],
        *[(f"payload.roles.{place}", None) for place in ("3", "4", "x", "-1", " 0", "4294967296", "0.0", "00", "")],
    ],
)
def test_a_value_by_its_name(serialized, name, text):
    metadata = serialized(CLAIMS)
    assert find(metadata, f"{JWT}.{name}") == text
    assert find(metadata, f"envoy.filters.http.{name}") is None


def test_filters_are_told_apart(serialized):
    metadata = serialized({**CLAIMS, "envoy": {"lb": {"canary": "no"}, "lbx": 1}})
    assert find(metadata, "envoy.lb.canary") in ("yes", "no")  # one name for both: whoever comes last
    assert find(metadata, "envoy.lbx") == "1"
    assert find(metadata, "envoy") is find(metadata, "envoy.lb") is find(metadata, "") is None
    assert find(b"", "envoy.lb.canary") is None


def test_names_lead_eight_levels_down(serialized):
    def nested(levels: int) -> dict[str, Any]:
        return {"k": nested(levels - 1) if levels > 1 else "found"}

    for levels in range(1, 9):
        assert find(serialized({"f": nested(levels)}), "f" + ".k" * levels) == "found"
    assert find(serialized({"f": nested(9)}), "f" + ".k" * 9) is None


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -7.0, 2.0**53, 1e21, 1e300, 5e-324, -math.pi, 1e6, 123456789.5])
def test_numbers_in_their_shortest_form(serialized, number):
    text = find(serialized({"f": {"n": number}}), "f.n")
    assert float(text) == number
    if number.is_integer() and abs(number) <= 2**53:
        assert text == str(int(number))
    assert find(serialized({"f": {"n": [number] * 3}}), "f.n") == " ".join([text] * 3)


def test_looking_things_up_has_an_end(serialized):
    """Steps count down whatever is looked at; when they run out nothing is found, not even what was seen."""
    metadata = serialized({"f": {str(i): i for i in range(1000)}})
    assert probe.find_metadata(metadata, b"f.7", 2000)[0] == b"7"
    _, left = probe.find_metadata(metadata, b"f.7", 2000)
    assert left == 2000 - 1001
    assert probe.find_metadata(metadata, b"f.7", 1000) == (None, 0)
    assert probe.find_metadata(metadata, b"f.7", 0) == (None, 0)


def test_nesting_ends_where_protobufs_parsers_end(serialized):
    """Hostile depth is malformed, and costs no stack."""
    value = b"\x08\x00"
    for _ in range(100_000):
        value = b"\x32" + _sized(b"\x0a" + _sized(value)) if len(value) < 400 else value
    entry = b"\x0a\x01k\x12" + _sized(value)
    with pytest.raises(ValueError, match="well-formed"):
        probe.find_metadata(b"\x0a" + _sized(b"\x0a\x01f\x12" + _sized(b"\x0a" + _sized(entry))), b"f.k")


def _sized(message: bytes) -> bytes:
    size = len(message)
    return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + message


scalars = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
keys = st.text(alphabet="ab01.", max_size=3)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


def _texts(value: Any, name: str, found: dict[str, list[str | None]]) -> None:
    def say(text: str | None) -> None:
        found.setdefault(name, []).append(text)

    match value:
        case dict():
            say(None)
            for key, inner in value.items():
                _texts(inner, f"{name}.{key}", found)
        case list():
            say(" ".join(t for t in map(_scalar, value) if t is not None))
            for place, inner in enumerate(value):
                _texts(inner, f"{name}.{place}", found)
        case _:
            say(_scalar(value))


def _scalar(value: Any) -> str | None:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return value
        case float():
            whole = value.is_integer() and abs(value) <= 2**53
            return str(int(value)) if whole else "FLOAT"
        case _:
            return None


@settings(max_examples=300, deadline=None)
@example(fields={".00": None, "": [False]})
@given(fields=st.dictionaries(keys, values, max_size=5))
def test_any_metadata(serialized, fields):
    """Every name leads to one of the values that it may mean (keys may hold dots), and every such name is found."""
    found: dict[str, list[str | None]] = {}
    for key, value in fields.items():
        _texts(value, f"f.{key}", found)
    metadata = serialized({"f": fields})
    for name, texts in found.items():
        if name.endswith(".") or any("FLOAT" in (t or "") for t in texts):
            continue
        if len(name.split(".")) < 8:
            assert find(metadata, name) in texts
