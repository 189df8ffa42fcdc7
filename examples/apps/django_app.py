"""Django behind an Application Load Balancer, in one file: what matters are the last lines.

RATELIMITD_ADDRESS=limiter.internal:8081 gunicorn --threads 8 django_app:application
RATELIMITD_ADDRESS=limiter.internal:8081 uvicorn django_app:asgi_application
"""

import os

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from ratelimitd.client import AsyncClient, HttpClient
from ratelimitd.client.asgi import RateLimitMiddleware as AsgiMiddleware
from ratelimitd.client.wsgi import RateLimitMiddleware as WsgiMiddleware


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def login(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"bytes": len(request.body)})


def upload(request: HttpRequest) -> JsonResponse:
    size = 0
    while chunk := request.read(1 << 16):
        size += len(chunk)
    return JsonResponse({"bytes": size})


urlpatterns = [path("healthz", healthz), path("login", login), path("upload", upload)]

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="example", ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
django.setup()

ADDRESS = os.environ.get("RATELIMITD_ADDRESS", "127.0.0.1:8081")

# In a project of your own this is wsgi.py ...
application = WsgiMiddleware(
    get_wsgi_application(),
    HttpClient(ADDRESS, timeout=0.25),
    on_error="allow",  # an outage of the limiter is not one of the shop
    trusted_hops=1,  # the load balancer
    exempt=["/healthz"],  # its health checks
)

# ... and this asgi.py.
asgi_application = AsgiMiddleware(
    get_asgi_application(),
    AsyncClient(ADDRESS, timeout=0.25),
    on_error="allow",
    trusted_hops=1,
    exempt=["/healthz"],
)
