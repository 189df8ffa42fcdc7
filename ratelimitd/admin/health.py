"""/healthz: the process lives. /readyz: it answers checks; a broken reload, of the policy or of certificates, or a lost
store leaves it ready, but degraded and saying why. Who bears no token where one is needed learns the status alone.
"""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratelimitd.admin.answer import answer
from ratelimitd.admin.context import Context, Reload, Tls
from ratelimitd.admin.guard import is_known
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


def tls_detail(tls: Tls) -> dict[str, Any]:
    return {
        "ok": tls.ok,
        "certificate": tls.certificate,
        "not_after": tls.not_after,
        "client_ca_not_after": tls.client_ca_not_after or None,
        "loaded_at": round(tls.loaded_at, 3),
        "error": tls.error,
    }


def routes(context: Context) -> list[Route]:
    async def healthz(request: Request) -> Response:
        return answer({"status": "ok", "version": context.version})

    async def readyz(request: Request) -> Response:
        serving, reload, store, tls = context.serving(), context.reload(), context.store(), context.tls()
        well = reload.ok and (store is None or store.ok) and (tls is None or (tls.ok and tls.not_after > time.time()))
        status = "draining" if not serving else "ready" if well else "degraded"
        body: dict[str, Any] = {"status": status}
        if is_known(request.scope):
            body["policy"] = reload_detail(reload)
            if store is not None:
                body["store"] = store_detail(store)
            if tls is not None:
                body["tls"] = tls_detail(tls)
        return answer(body, 200 if serving else 503)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
