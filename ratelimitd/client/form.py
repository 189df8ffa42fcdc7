"""Requests and verdicts in the JSON form of the contract (protobuf's JSON mapping), without protobuf.

https://protobuf.dev/programming-guides/json: bytes are base64, 64-bit integers are strings, fields at their default may
be left out, and a reader takes lowerCamelCase and the names of the .proto alike.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from functools import cache
from typing import Any

from ratelimitd.client.request import Request
from ratelimitd.client.verdict import LimitState, RuleMatch, Verdict

_REASONS = (
    "",
    "allow_list",
    "deny_list",
    "over_limit",
    "scan",
    "partial_body",
    "no_policy",
    "overload",
    "penalty",
    "store_lost",
)


def _bytes(value: str | bytes) -> str:
    return b2a_base64(value.encode() if isinstance(value, str) else value, newline=False).decode()


def _text(value: str) -> str:
    """The text itself. Raises ValueError where it is not Unicode (a lone surrogate)."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {type(value).__name__}")
    if not value.isascii():
        value.encode()
    return value


def encode(request: Request) -> bytes:
    """The JSON of a CheckRequest. Raises ValueError or TypeError for what cannot be one."""
    message: dict[str, Any] = {"method": _text(request.method), "path": _text(request.path)}
    if request.source_address:
        message["sourceAddress"] = _text(request.source_address)
    if request.host:
        message["host"] = _text(request.host)
    if request.scheme:
        message["scheme"] = _text(request.scheme)
    if request.headers:
        message["headers"] = [{"name": _text(name), "value": _bytes(value)} for name, value in request.headers]
    if request.body is not None:
        message["body"] = _bytes(request.body)
    if request.partial_body:
        message["partialBody"] = True
    if request.attributes:
        message["attributes"] = {_text(name): _text(value) for name, value in request.attributes.items()}
    if request.cost is not None:
        if not 0 <= request.cost < 2**32:
            raise ValueError(f"cost: {request.cost} is not from 0 to {2**32 - 1}")
        message["cost"] = request.cost
    if request.domain:
        message["domain"] = _text(request.domain)
    if request.dry_run:
        message["dryRun"] = True
    if request.explain:
        message["explain"] = True
    return json.dumps(message, separators=(",", ":")).encode()


def _unpacked(value: str) -> str:
    return a2b_base64(value, strict_mode=True).decode("utf-8", "replace")


@cache
def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


class _Fields:
    """A JSON object read as a message: absent fields have their default, what has the wrong type is a ValueError."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, not {type(value).__name__}")
        self._value = value

    def _get(self, name: str) -> object:
        value = self._value.get(_camel(name))
        return self._value.get(name) if value is None else value

    def number(self, name: str) -> int:
        value = self._get(name)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"{name}: expected a number, not {value!r:.40}")
        return int(value)

    def text(self, name: str) -> str:
        value = self._get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ValueError(f"{name}: expected a string, not {value!r:.40}")
        return value

    def flag(self, name: str) -> bool:
        value = self._get(name)
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{name}: expected a boolean, not {value!r:.40}")
        return value is True

    def enum(self, name: str, prefix: str, known: tuple[str, ...]) -> str:
        """The lower-case name without its prefix; "" for the default; an unknown number as it is."""
        value = self._get(name)
        if value is None:
            return ""
        if isinstance(value, str):
            text = value.removeprefix(prefix).lower()
            return "" if text == "unspecified" else text
        number = self.number(name)
        return known[number] if 0 <= number < len(known) else str(number)

    def each(self, name: str) -> list[_Fields]:
        value = self._get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise ValueError(f"{name}: expected a list, not {value!r:.40}")
        return [_Fields(item) for item in value]


def _limit(state: _Fields) -> LimitState:
    return LimitState(
        state.text("name"),
        state.number("limit"),
        state.number("remaining"),
        state.number("window_ms"),
        state.number("reset_after_ms"),
        state.flag("over"),
        state.flag("shadow"),
        state.flag("unlimited"),
    )


def decode(text: bytes) -> Verdict:
    """The verdict of the JSON of a CheckResponse. Only DECISION_ALLOW allows. Raises ValueError for what is not one."""
    try:
        response = _Fields(json.loads(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return Verdict(
        allowed=response.enum("decision", "DECISION_", ("", "allow", "deny")) == "allow",
        status=response.number("status"),
        reason=response.enum("reason", "REASON_", _REASONS),
        decided_by=response.text("decided_by"),
        domain=response.text("domain"),
        limits=tuple(_limit(state) for state in response.each("limits")),
        matches=tuple(RuleMatch(m.text("id"), m.text("target"), m.number("score")) for m in response.each("matches")),
        score=response.number("score"),
        bytes_inspected=response.number("bytes_inspected"),
        inspected_all=response.flag("inspected_all"),
        headers=tuple((h.text("name"), _unpacked(h.text("value"))) for h in response.each("headers")),
        reference=response.text("reference"),
        shadow_denied=response.flag("shadow_denied"),
    )
