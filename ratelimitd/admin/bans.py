"""Who is banned: /bans lists, bans and lifts. On every node, when nodes share a store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratelimitd.admin.answer import answer, refusal
from ratelimitd.admin.context import Context
from ratelimitd.admin.place import locate

MAX_LISTED = 10_000
MAX_BAN_MS = 366 * 86_400_000
USAGE = "/bans?domain=shop&penalty=brute-force&key=203.0.113.7&for=1h: one key= for each part of the penalty's key"


def routes(context: Context) -> list[Route]:
    def bans(request: Request) -> Response:
        if request.method == "GET":
            return _list(context, request)
        found = locate(request, "penalty", context.penalties(), USAGE)
        if isinstance(found, Response):
            return found
        domain, penalty, key = found
        where: dict[str, Any] = {"domain": domain, "penalty": penalty, "key": key}
        if request.method == "DELETE":
            return answer({**where, "lifted": context.engine.unban(domain, penalty, key)})
        text = request.query_params.get("for")
        if text is None:
            return refusal(400, "for how long?", USAGE)
        try:
            length = context.duration(text)
        except ValueError as error:
            return refusal(400, str(error), USAGE)
        if not 1 <= length <= MAX_BAN_MS:
            return refusal(400, f"for={text}: a ban lasts 1ms to 366d", USAGE)
        return answer({**where, "banned": context.engine.ban(domain, penalty, key, length)})

    return [Route("/bans", bans, methods=["GET", "POST", "DELETE"])]


def _list(context: Context, request: Request) -> Response:
    text = request.query_params.get("n", "100")
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= MAX_LISTED):
        return refusal(400, f"n={text!r} is not a number from 1 to {MAX_LISTED}")
    found = context.engine.bans(MAX_LISTED)
    found.sort(key=lambda ban: (-ban["until_ms"], ban["domain"], ban["penalty"], ban["key"]))
    return answer({"bans": [_row(ban) for ban in found[: int(text)]]})


def _row(ban: dict[str, Any]) -> dict[str, Any]:
    """`level`: how many bans, this one included, are not forgiven; 0 of one that was made by hand."""
    until = datetime.fromtimestamp(ban["until_ms"] / 1000, UTC).isoformat(timespec="milliseconds")
    place = {name: ban[name] for name in ("domain", "penalty", "key", "level")}
    return {**place, "until": until.replace("+00:00", "Z")}
