"""FastAPI (or any Starlette application) behind an Application Load Balancer.

RATELIMITD_ADDRESS=limiter.internal:8081 uvicorn fastapi_app:app
"""

import os

from fastapi import FastAPI, Request

from ratelimitd.client import AsyncClient
from ratelimitd.client.asgi import RateLimitMiddleware

client = AsyncClient(os.environ.get("RATELIMITD_ADDRESS", "127.0.0.1:8081"), timeout=0.25)

app = FastAPI()
app.add_middleware(
    RateLimitMiddleware,
    client=client,
    on_error="allow",  # an outage of the limiter is not one of the shop
    trusted_hops=1,  # the load balancer
    exempt=["/healthz"],  # its health checks
)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/login")
async def login(request: Request) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@app.post("/upload")
async def upload(request: Request) -> dict[str, int]:
    """The body as it comes: the middleware has read ahead of it, but holds nothing back."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return {"bytes": size}
