"""JSON answers, and errors that say what to do next."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def answer(content: Any, status: int = 200) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, media_type="application/json", headers={"cache-control": "no-store"})


def refusal(status: int, error: str, hint: str = "", **more: Any) -> Response:
    """{"error": what is wrong, "hint": what to do}"""
    return answer({"error": error, **({"hint": hint} if hint else {}), **more}, status)
