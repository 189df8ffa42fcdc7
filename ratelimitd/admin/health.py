"""/healthz: the process lives. /readyz: it answers checks; a broken reload or a lost store leaves it ready, but
degraded and saying why.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratelimitd.admin.answer import answer
from ratelimitd.admin.context import Context, Reload
from ratelimitd.admin.store import detail as store_detail


def reload_detail(reload: Reload) -> dict[str, Any]:
    return {
        "ok": reload.ok,
        "source": reload.source,
        "digest": reload.digest,
        "generation": reload.generation,
        "loaded_at": round(reload.loaded_at, 3),
        "attempted_at": round(reload.attempted_at, 3),
        "diagnostics": [str(d) for d in reload.diagnostics],
    }


def routes(context: Context) -> list[Route]:
    async def healthz(request: Request) -> Response:
        return answer({"status": "ok", "version": context.version})

    async def readyz(request: Request) -> Response:
        serving, reload = context.serving(), context.reload()
        store = context.store()
        well = reload.ok and (store is None or store.ok)
        status = "draining" if not serving else "ready" if well else "degraded"
        body = {"status": status, "policy": reload_detail(reload)}
        if store is not None:
            body["store"] = store_detail(store)
        return answer(body, 200 if serving else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
