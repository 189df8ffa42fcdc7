"""Flask behind an Application Load Balancer.

RATELIMITD_ADDRESS=limiter.internal:8081 gunicorn --threads 8 flask_app:app
"""

import os

from flask import Flask, request

from ratelimitd.client import HttpClient
from ratelimitd.client.wsgi import RateLimitMiddleware

client = HttpClient(os.environ.get("RATELIMITD_ADDRESS", "127.0.0.1:8081"), timeout=0.25)

app = Flask(__name__)
app.wsgi_app = RateLimitMiddleware(  # type: ignore[method-assign]
    app.wsgi_app,
    client,
    on_error="allow",  # an outage of the limiter is not one of the shop
    trusted_hops=1,  # the load balancer
    exempt=["/healthz"],  # its health checks
)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/login")
def login() -> dict[str, int]:
    return {"bytes": len(request.get_data())}


@app.post("/upload")
def upload() -> dict[str, int]:
    size = 0
    while chunk := request.stream.read(1 << 16):
        size += len(chunk)
    return {"bytes": size}
