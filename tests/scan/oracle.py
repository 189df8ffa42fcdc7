"""A slow, plain reading of what a program must find: every rule, every field, its own chain, Python's re."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ratelimitd._ext.bytes import probe
from ratelimitd.policy.plan import Rule, Target

Field = tuple[Target, bytes, bytes]


def fields(request: dict[str, Any]) -> Iterator[Field]:
    """(target, name, value) of a request without a body, in the order of a scan."""
    path, _, query = request["path"].partition(b"?")
    yield Target.METHOD, b"", request.get("method", b"GET")
    yield Target.HOST, b"", request.get("host", b"")
    yield Target.PATH, b"", path
    yield Target.QUERY, b"", query
    for raw_name, raw_value in probe.query_pairs(query):
        name, value = probe.url_decode(raw_name), probe.url_decode(raw_value)
        yield Target.ARGS_NAMES, name, name
        yield Target.ARGS, name, value
    for name, value in request.get("headers", []):
        yield Target.HEADERS_NAMES, name, name
        yield Target.HEADERS, name, value
        if name == b"cookie":
            for cookie, content in probe.cookie_pairs(value):
                yield Target.COOKIES_NAMES, cookie, cookie
                yield Target.COOKIES, cookie, content


def transformed(rule: Rule, value: bytes) -> bytes:
    for kind in rule.transformations:
        changed = probe.transform(kind, value)
        value = value if changed is None else changed
    return value


def looks_at(rule: Rule, target: Target, name: bytes) -> bool:
    refs = [ref for ref in rule.targets if ref.target is target and ref.name.lower() in (b"", name.lower())]
    return bool(refs) and not any(ref.exclude for ref in refs)


def fires(rule: Rule, field: Field) -> bool:
    target, name, value = field
    if not looks_at(rule, target, name):
        return False
    text = transformed(rule, value)
    flags = re.DOTALL | (re.IGNORECASE if rule.ignore_case else 0)
    return any(re.search(pattern, text, flags) for pattern in rule.patterns)


def target_text(target: Target, name: bytes) -> bytes:
    printable = "".join(chr(b) if 0x20 < b < 0x7F and b != 0x25 else f"%{b:02X}" for b in name[:96])
    return (target.name.lower() + (":" + printable if name else "")).encode()


def expected(rules: list[Rule], request: dict[str, Any]) -> dict[bytes, set[bytes]]:
    """By rule: the fields that fire it ("args:id"); a scan names one of them."""
    found: dict[bytes, set[bytes]] = {}
    for field in fields(request):
        for rule in rules:
            if fires(rule, field):
                found.setdefault(rule.id, set()).add(target_text(field[0], field[1]))
    return found
