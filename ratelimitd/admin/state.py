"""What is in force and what is counted: /policy, /keys, /top.

The handlers are plain functions: starlette runs them in threads, as the engine may make them wait for a swap to end.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ratelimitd.admin.answer import answer, refusal
from ratelimitd.admin.context import Context
from ratelimitd.admin.health import reload_detail
from ratelimitd.admin.place import locate

MAX_TOP = 100
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
        found = locate(request, "limit", context.limits(), USAGE)
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

    def rlconfig(request: Request) -> Response:
        return PlainTextResponse(context.rate_limits())

    return [
        Route("/policy", policy, methods=["GET"]),
        Route("/rlconfig", rlconfig, methods=["GET"]),
        Route("/keys", keys, methods=["GET", "DELETE", "POST"]),
        Route("/top", top, methods=["GET"]),
    ]
