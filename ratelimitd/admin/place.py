"""Which key of which limit or penalty a query names; or the answer that says what it should have named."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from ratelimitd.admin.answer import refusal

MAX_LISTED = 100
MAX_PART = 4096  # characters of a part of a key


def locate(
    request: Request, kind: str, known: Mapping[str, Mapping[str, Sequence[str]]], usage: str
) -> tuple[str, str, list[str]] | Response:
    """(domain, name, key). `kind`: "limit" or "penalty"; `known`: domain -> name -> the parts of its key."""
    plural = {"limit": "limits", "penalty": "penalties"}[kind]
    query = request.query_params
    domain, name, key = query.get("domain"), query.get(kind), query.getlist("key")
    if domain is None and len(known) == 1:
        domain = next(iter(known))
    if domain is None:
        return refusal(400, "which domain?", usage, domains=_listed(known))
    if domain not in known:
        return refusal(404, f"no domain {domain!r}", _mean(domain, known), domains=_listed(known))
    names = known[domain]
    if name is None:
        return refusal(400, f"which {kind}?", usage, **{plural: _listed(names)})
    if name not in names:
        return refusal(404, f"no {kind} {name!r} in {domain!r}", _mean(name, names), **{plural: _listed(names)})
    if len(key) != len(names[name]):
        return refusal(400, f"the key of {name!r} has {len(names[name])} parts", usage, parts=list(names[name]))
    if any(len(part) > MAX_PART for part in key):
        return refusal(400, f"a part of a key has at most {MAX_PART} characters", usage)
    return domain, name, key


def _listed(names: Iterable[str]) -> list[str]:
    return sorted(names)[:MAX_LISTED]


def _mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else ""
