"""What the native matcher does, in plain Python: which conditions hold for a request, and why the others do not.

`ratelimitd explain --request` shows its answers, and property tests hold the native engine to it. Clarity before
speed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ratelimitd.policy.plan import (
    Cidr,
    Client,
    Condition,
    KeyPart,
    Limit,
    Match,
    Op,
    Override,
    OverrideKind,
    Penalty,
    Source,
)
from ratelimitd.policy.regex import regex_holds
from ratelimitd.policy.request import Request
from ratelimitd.policy.values import MAPPED, client_address, contains, format_address, get, mask, parse_address


def evaluate(match: Match, request: Request, client: Client | None = None) -> tuple[bool, str | None]:
    """Does it hold? If not, the first condition that fails, in words; of several alternatives, of each."""
    client = client or Client()
    failures: list[str] = []
    for alternative in match.alternatives:
        failing = next((c for c in alternative if not holds(c, request, client)), None)
        if failing is None:
            return True, None
        failures.append(explain_failure(failing, request, client))
    return False, "; ".join(failures) or "it matches nothing"


def holds(condition: Condition, request: Request, client: Client) -> bool:
    """An absent value: no comparison holds, so a negation does."""
    return _holds_plainly(condition, request, client) != condition.negate


def _holds_plainly(condition: Condition, request: Request, client: Client) -> bool:
    if condition.op is Op.CIDR:
        address = _address_of(condition, request, client)
        return address is not None and any(contains(cidr, address) for cidr in condition.cidrs)
    value = get(request, client, condition.source, condition.name)
    if value is None:
        return False
    if condition.op is Op.PRESENT:
        return True
    return any(_compare(condition, operand, value) for operand in condition.operands)


def _address_of(condition: Condition, request: Request, client: Client) -> bytes | None:
    if condition.source is Source.CLIENT_IP:
        return client_address(request, client)
    value = get(request, client, condition.source, condition.name)
    return None if value is None else parse_address(value)


def _compare(condition: Condition, operand: bytes, value: bytes) -> bool:
    if condition.op is Op.REGEX:
        return regex_holds(operand, value)
    if condition.op is Op.GLOB:
        on_path = condition.source in (Source.PATH, Source.RAW_PATH)
        return glob(operand, value, path=on_path, ignore_case=condition.ignore_case) is not None
    if condition.ignore_case:  # of bytes: ASCII letters only
        operand, value = operand.lower(), value.lower()
    if condition.op is Op.EXACT:
        return value == operand
    return value.startswith(operand) if condition.op is Op.PREFIX else value.endswith(operand)


def glob(pattern: bytes, text: bytes, *, path: bool, ignore_case: bool = False) -> dict[bytes, bytes] | None:
    """The captures of a glob by name, or None when it does not match. Runs are as short as they can be, the
    leftmost first. Translated to a backtracking regular expression: for patterns of people, not hostile ones.
    """
    names: list[bytes] = []
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    found = re.fullmatch(b"".join(_glob_pieces(pattern, path, names)), text, flags)
    if found is None:
        return None
    captures: dict[bytes, bytes] = {}
    for i, name in enumerate(names):
        captures.setdefault(name, found[i + 1])
    return captures


def _glob_pieces(pattern: bytes, path: bool, names: list[bytes]) -> Iterator[bytes]:
    at, after_slash = 0, False
    while at < len(pattern):
        rest = pattern[at:]
        piece = rest[:1]
        if stars := re.match(rb"\*+", rest):
            piece = stars[0]
            if not path or len(piece) > 1:
                yield b".*?"
            else:
                yield b".+" if after_slash and piece == rest else b"[^/]*?"
        elif path and (capture := re.match(rb"\{([^}/]+)\}", rest)):
            piece = capture[0]
            names.append(capture[1])
            yield b"([^/]+?)"
        elif piece == b"?" and not path:
            yield b"."
        else:
            piece = rest[:2] if piece == b"\\" and len(rest) > 1 else piece
            yield re.escape(piece[-1:])
        after_slash = piece in (b"/", b"\\/")
        at += len(piece)


def path_param(match: Match, request: Request, client: Client, name: bytes) -> bytes | None:
    """What the first path glob that has {name} and matches binds to it."""
    for condition in (c for alternative in match.alternatives for c in alternative):
        path = get(request, client, condition.source)
        if condition.op is not Op.GLOB or condition.negate or path is None:
            continue
        if condition.source not in (Source.PATH, Source.RAW_PATH):
            continue
        for operand in condition.operands:
            captures = glob(operand, path, path=True, ignore_case=condition.ignore_case)
            if captures and name in captures:
                return captures[name]
    return None


def key_text(limit: Limit, request: Request, client: Client) -> bytes | None:
    """The key's parts joined by "|". A missing part counts as empty, or skips the limit (None) when it says so."""
    return _join([_key_part(part, limit.match, request, client) for part in limit.key], limit.skip_missing_key)


def penalty_key_text(penalty: Penalty, request: Request, client: Client) -> bytes | None:
    """Who would be banned. None when a part is missing: the penalty does not apply."""
    return _join([_key_part(part, penalty.match, request, client) for part in penalty.key], skip=True)


def _join(parts: list[bytes | None], skip: bool) -> bytes | None:
    return None if skip and None in parts else b"|".join(part or b"" for part in parts)


def _key_part(part: KeyPart, match: Match, request: Request, client: Client) -> bytes | None:
    if part.source is Source.PATH_PARAM:
        return path_param(match, request, client, part.name)
    return get(request, client, part.source, part.name)


def find_override(overrides: tuple[Override, ...], text: bytes, address: bytes | None) -> int | None:
    """The position of the override that applies: exact, else the first glob, else the longest network of the client."""
    for i, override in enumerate(overrides):
        if override.kind is OverrideKind.EXACT and override.text == text:
            return i
    for i, override in enumerate(overrides):
        if override.kind is OverrideKind.GLOB and glob(override.text, text, path=False) is not None:
            return i
    nets = [(o.cidr.prefix, -i) for i, o in enumerate(overrides) if o.cidr and address and contains(o.cidr, address)]
    return -max(nets)[1] if nets else None


_SOURCES = {Source.CLIENT_IP: "client.ip"}
_OPS = {Op.PRESENT: "is present", Op.EXACT: "=", Op.PREFIX: "begins with", Op.SUFFIX: "ends with", Op.GLOB: "like"}
_OPS |= {Op.REGEX: "matches", Op.CIDR: "in"}


def describe(condition: Condition) -> str:
    """The words of the native dump: `header x-plan = gold | silver`."""
    words = [_SOURCES.get(condition.source, condition.source.name.lower())]
    if condition.name:
        words.append(_words(condition.name))
    words.append(_OPS[condition.op])
    operands = [*map(_words, condition.operands), *map(describe_cidr, condition.cidrs)]
    if operands:
        words.append(" | ".join(operands))
    if condition.ignore_case:
        words.append("(any case)")
    return ("not " if condition.negate else "") + " ".join(words)


def describe_cidr(cidr: Cidr) -> str:
    network = mask(cidr.address, cidr.prefix)
    prefix = cidr.prefix - 96 if network.startswith(MAPPED) else cidr.prefix
    return f"{format_address(network)}/{prefix}"


def explain_failure(condition: Condition, request: Request, client: Client) -> str:
    """In words: `path = /login, but it is /logout`."""
    if condition.op is Op.CIDR and condition.source is Source.CLIENT_IP:
        address = client_address(request, client)
        value = None if address is None else format_address(address).encode()
    else:
        value = get(request, client, condition.source, condition.name)
    return f"{describe(condition)}, but it is {'absent' if value is None else _words(value) or 'empty'}"


def _words(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
