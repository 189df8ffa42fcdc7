"""What is in force and what is counted: /policy, /keys, /top."""

from __future__ import annotations

import difflib

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ratelimitd.admin.answer import answer, refusal
from ratelimitd.admin.context import Context
from ratelimitd.admin.health import reload_detail

MAX_KEY_PARTS = 8
MAX_TOP = 100
USAGE = "/keys?domain=shop&limit=login&key=203.0.113.7&key=abc: one key= for each part of the limit's key, in its order"


def routes(context: Context) -> list[Route]:
    async def policy(request: Request) -> Response:
        form = request.query_params.get("format", "json")
        if form == "json":
            reload = context.reload()
            return answer({**reload_detail(reload), "changes": list(reload.changes), **context.policy_data()})
        if form == "text":
            return PlainTextResponse(context.policy_text())
        if form == "native":
            return PlainTextResponse(context.engine.dump())
        return refusal(400, f"format={form!r} is not json, text or native")

    async def keys(request: Request) -> Response:
        found = _locate(context, request)
        if isinstance(found, Response):
            return found
        domain, limit, key = found
        where = {"domain": domain, "limit": limit, "key": key}
        if request.method == "GET":
            counter = context.engine.lookup(domain, limit, key)
            if counter is None:
                return refusal(
                    404, "this key has no counter", "nothing was counted for it, or its window has passed", **where
                )
            return answer({**where, **counter})
        return answer({**where, "reset": context.engine.reset(domain, limit, key)})

    async def top(request: Request) -> Response:
        text = request.query_params.get("n", "20")
        if not text.isdecimal() or not 1 <= int(text[:4]) <= MAX_TOP:
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
        return refusal(400, "which domain?", USAGE, domains=sorted(known)[:100])
    if domain not in known:
        return refusal(404, f"no domain {domain!r}", _mean(domain, list(known)), domains=sorted(known)[:100])
    if limit is None:
        return refusal(400, "which limit?", USAGE, limits=known[domain][:100])
    if limit not in known[domain]:
        return refusal(
            404, f"no limit {limit!r} in {domain!r}", _mean(limit, known[domain]), limits=known[domain][:100]
        )
    if len(key) > MAX_KEY_PARTS:
        return refusal(400, f"a key has at most {MAX_KEY_PARTS} parts", USAGE)
    return domain, limit, key


def _mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {close[0]!r}?" if close else ""
