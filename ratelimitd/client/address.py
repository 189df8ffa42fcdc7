"""Whose request it is, when proxies of ours stand before us.

X-Forwarded-For grows to the right: each proxy appends the peer that it saw. What our own proxies wrote is true, all
that is further to the left is what the client claims.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

FORWARDED = "x-forwarded-for"
CLAIMED = "x-original-forwarded-for"

Headers = list[tuple[str, str | bytes]]


class AddressError(ValueError):
    """The request does not say where it comes from, or not in a way that can be believed."""


def bare(entry: str) -> str:
    """The address without port and brackets: "[2001:db8::1]:443" -> "2001:db8::1". Empty: it is no address."""
    text = entry.strip()
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        if not closed or (port and not (port.startswith(":") and port[1:].isdigit())):
            return ""
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdigit():
            return ""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return ""
    return text


def forwarded(headers: Iterable[tuple[str, str | bytes]]) -> list[str]:
    """The entries of X-Forwarded-For, over all its lines, from left to right."""
    entries: list[str] = []
    for name, value in headers:
        if name.lower() == FORWARDED:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            entries += text.split(",")
    return entries


def client(peer: str, headers: Headers, hops: int) -> tuple[str, Headers]:
    """The client's address, and the headers to ask with. Raises AddressError.

    `peer` connected to us; `hops` proxies of ours stand before us, itself included. 0: it is the client. The headers'
    X-Forwarded-For then has the client alone, so that whoever counts from the right again finds nobody else; what was
    claimed is kept as X-Original-Forwarded-For, for rules to scan.
    """
    entries = forwarded(headers)
    if hops == 0:
        found = bare(peer)
    elif len(entries) >= hops:
        found = bare(entries[-hops])
    else:  # not through all of them: the claim is worth nothing, who connected is
        found = bare(peer)
    if not found:
        where = "the peer" if hops == 0 or len(entries) < hops else f"entry {hops} from the right of {FORWARDED}"
        raise AddressError(f"{where} is not an address: {(peer if hops == 0 else ','.join(entries))!r:.80}")
    return found, _rewritten(found, headers, bool(entries))


def _rewritten(found: str, headers: Headers, claimed: bool) -> Headers:
    if claimed:
        headers = [(CLAIMED, value) if name.lower() == FORWARDED else (name, value) for name, value in headers]
    return [*headers, (FORWARDED, found)]
