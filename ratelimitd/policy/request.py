"""One request as `explain --request`, policy tests and the evaluator see it. Pure: stdlib only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_COST = 2**32 - 1
MAX_HEADERS = 256
MAX_ATTRIBUTES = 64

Pair = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks, all text as bytes. Headers are in order, their names lower-case, duplicates kept."""

    method: bytes = b"GET"
    path: bytes = b"/"  # raw, with the query
    host: bytes = b""  # may carry a port
    scheme: bytes = b""
    headers: tuple[Pair, ...] = ()
    source_address: bytes = b""  # the peer that the proxy saw
    attributes: tuple[Pair, ...] = ()
    body: bytes | None = None
    partial_body: bool = False
    cost: int = 1  # hits to charge; 0 peeks
    domain: bytes = b""


def from_mapping(value: object) -> Request:
    """Reads a request as JSON has it: {"method": "GET", "path": "/a?b=1", "headers": {"x-a": "1"}, ...}.

    Headers and attributes are objects (a value may be an array) or arrays of [name, value]. `ip` is
    another word for `source_address`. Raises ValueError naming the field and what it should be.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"a request is an object, not {_kind(value)}")
    known = {*Request.__dataclass_fields__, "ip"}
    for name in value:
        if name not in known:
            raise ValueError(f"unknown field {name!r}; a request has {', '.join(sorted(known))}")
    if "ip" in value and "source_address" in value:
        raise ValueError("ip and source_address say the same: give one")
    headers = tuple((name.lower(), text) for name, text in _pairs(value, "headers", MAX_HEADERS))
    body = value.get("body")
    return Request(
        method=_text(value, "method", b"GET"),
        path=_text(value, "path", b"/"),
        host=_text(value, "host", _first(headers, b"host")),
        scheme=_text(value, "scheme"),
        headers=headers,
        source_address=_text(value, "ip" if "ip" in value else "source_address"),
        attributes=_pairs(value, "attributes", MAX_ATTRIBUTES),
        body=None if body is None else _bytes(body, "body"),
        partial_body=_flag(value, "partial_body"),
        cost=_cost(value),
        domain=_text(value, "domain"),
    )


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names[list] = "an array"
    return "an object" if isinstance(value, Mapping) else names.get(type(value), type(value).__name__)


def _bytes(value: object, where: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{where} must be a string, not {_kind(value)}")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where} must be valid Unicode: it has a lone surrogate") from None


def _text(value: Mapping[str, object], name: str, default: bytes = b"") -> bytes:
    return _bytes(value[name], name) if name in value else default


def _flag(value: Mapping[str, object], name: str) -> bool:
    flag = value.get(name, False)
    if not isinstance(flag, bool):
        raise ValueError(f"{name} must be true or false, not {_kind(flag)}")
    return flag


def _cost(value: Mapping[str, object]) -> int:
    cost = value.get("cost", 1)
    if not isinstance(cost, int) or isinstance(cost, bool):
        raise ValueError(f"cost must be a whole number, not {_kind(cost)}")
    if not 0 <= cost <= MAX_COST:
        raise ValueError(f"cost must be between 0 and {MAX_COST}, not {cost}")
    return cost


def _pairs(value: Mapping[str, object], name: str, most: int) -> tuple[Pair, ...]:
    """An object of strings (or of arrays of strings), or an array of [name, value]."""
    found = value.get(name, {})
    pairs: list[Pair] = []
    if isinstance(found, Mapping):
        for key, texts in found.items():
            for text in texts if isinstance(texts, list) else [texts]:
                pairs.append((_bytes(key, f"a name in {name}"), _bytes(text, f"{name}.{key}")))
    elif isinstance(found, list | tuple):
        for i, pair in enumerate(found):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError(f"{name}[{i}] must be [name, value]")
            pairs.append((_bytes(pair[0], f"{name}[{i}][0]"), _bytes(pair[1], f"{name}[{i}][1]")))
    else:
        raise ValueError(f"{name} must be an object or an array of [name, value], not {_kind(found)}")
    if len(pairs) > most:
        raise ValueError(f"{name} has {len(pairs)} entries; at most {most} are allowed")
    return tuple(pairs)


def _first(pairs: tuple[Pair, ...], name: bytes) -> bytes:
    return next((value for key, value in pairs if key == name), b"")
