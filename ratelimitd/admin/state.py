"""What is in force and what is counted: /policy, /keys, /top.

The handlers are plain functions: starlette runs them in threads, as the engine may make them wait for a swap to end.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ratelimitd.admin.answer import answer, refusal
from ratelimitd.admin.context import Context
from ratelimitd.admin.health import reload_detail

MAX_TOP = 100
MAX_LISTED = 100
USAGE = "/keys?domain=shop&limit=login&key=203.0.113.7&key=abc: one key= for each part of the limit's key, in its order"


def routes(context: Context) -> list[Route]:
    def policy(request: Request) -> Response:
        form = request.query_params.get("format", "json")
        if form == "json":
            reload = context.reload()
            return answer({**reload_detail(reload), "changes": list(reload.changes), **context.policy_data()})
        if form == "text":
            return PlainTextResponse(context.policy_text())
        if form == "native":
            return PlainTextResponse(context.engine.dump())
        return refusal(400, f"format={form!r} is not json, text or native")

    def keys(request: Request) -> Response:
        found = _locate(context, request)
        if isinstance(found, Response):
            return found
        domain, limit, key = found
        where: dict[str, Any] = {"domain": domain, "limit": limit, "key": key}
        if request.method in ("DELETE", "POST"):
            return answer({**where, "reset": context.engine.reset(domain, limit, key)})
        counter = context.engine.lookup(domain, limit, key)
        if counter is None:
            hint = "nothing was counted for it, or its window has passed"
            return refusal(404, "this key has no counter", hint, **where)
        return answer({**where, "counter": counter})

    def top(request: Request) -> Response:
        text = request.query_params.get("n", "20")
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MAX_TOP):
            return refusal(400, f"n={text!r} is not a number from 1 to {MAX_TOP}")
        return answer(context.top(int(text)))

    return [
        Route("/policy", policy, methods=["GET"]),
        Route("/keys", keys, methods=["GET", "DELETE", "POST"]),
        Route("/top", top, methods=["GET"]),
    ]


def _locate(context: Context, request: Request) -> tuple[str, str, list[str]] | Response:
    """The (domain, limit, key) that a query names, or the answer that says what it should have named."""
    known = context.limits()
    query = request.query_params
    domain, limit, key = query.get("domain"), query.get("limit"), query.getlist("key")
    if domain is None and len(known) == 1:
        domain = next(iter(known))
    if domain is None:
        return refusal(400, "which domain?", USAGE, domains=_listed(known))
    if domain not in known:
        return refusal(404, f"no domain {domain!r}", _mean(domain, known), domains=_listed(known))
    limits = known[domain]
    if limit is None:
        return refusal(400, "which limit?", USAGE, limits=_listed(limits))
    if limit not in limits:
        return refusal(404, f"no limit {limit!r} in {domain!r}", _mean(limit, limits), limits=_listed(limits))
    if len(key) != len(limits[limit]):
        return refusal(400, f"the key of {limit!r} has {len(limits[limit])} parts", USAGE, parts=limits[limit])
    return domain, limit, key


def _listed(names: Iterable[str]) -> list[str]:
    return sorted(names)[:MAX_LISTED]


def _mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {close[0]!r}?" if close else ""
