"""The admin endpoints on a socket, inside the loop of the process."""

from __future__ import annotations

import contextlib
import grp
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratelimitd.admin import bans, health, metrics, state
from ratelimitd.admin.answer import answer, refusal
from ratelimitd.admin.context import Context
from ratelimitd.admin.guard import Guard, Tokens

INDEX = {
    "/healthz": "the process lives",
    "/readyz": "it answers checks; detail of the last reload",
    "/metrics": "Prometheus or OpenMetrics text",
    "/policy": "the policy in force, compiled (?format=text for people, native for the engine's own dump)",
    "/rlconfig": "the limits, as envoyproxy/ratelimit lists its own",
    "/keys?domain=&limit=&key=": "GET a key's counter, DELETE (or POST) to reset it; key= once for each part",
    "/bans?n=100": "the keys that are banned now",
    "/bans?domain=&penalty=&key=&for=1h": "POST bans a key for a time, DELETE lifts its ban; key= once for each part",
    "/top?n=20": "the hottest and the most denied keys",
}


def build(context: Context, *, remote: bool, tokens: Tokens | None = None) -> Starlette:
    """The ASGI application."""

    async def index(request: Request) -> Response:
        return answer({"ratelimitd": context.version, "endpoints": INDEX})

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        hint = "GET / lists the endpoints" if error.status_code == 404 else "see GET / for what each endpoint takes"
        response = refusal(error.status_code, error.detail, hint)
        response.headers.update(error.headers or {})
        return response

    async def broken(request: Request, error: Exception) -> Response:
        return refusal(500, f"{type(error).__name__}: {error}", "this is a bug; the log has more")

    return Starlette(
        routes=[
            Route("/", index),
            *health.routes(context),
            *metrics.routes(context),
            *state.routes(context),
            *bans.routes(context),
        ],
        middleware=[Middleware(Guard, remote=remote, tokens=tokens)],
        exception_handlers={HTTPException: refused, Exception: broken},
    )


def is_loopback(address: str) -> bool:
    """May this admin address be had without --admin-allow-remote?"""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(address: str) -> tuple[socket.socket, str]:
    """A listening socket and the address it got. Raises OSError, or ValueError when `address` is not one."""
    if address.startswith("unix:"):
        path, mode, group = unix_address(address)
        return _bind_unix(path, mode, group), f"unix:{path}"
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ValueError("use HOST:PORT, unix:PATH or off")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=64)
    name, number = listener.getsockname()[:2]
    return listener, f"[{name}]:{number}" if family == socket.AF_INET6 else f"{name}:{number}"


def socket_path(address: str) -> Path:
    return Path(address.removeprefix("unix:").partition("?")[0])


def unix_address(address: str) -> tuple[Path, int, int]:
    """unix:PATH?mode=0660&group=NAME -> path, mode (0600), group id (-1: as it comes). Raises ValueError."""
    mode, group = 0o600, -1
    for part in filter(None, address.partition("?")[2].split("&")):
        name, _, value = part.partition("=")
        if name == "mode" and 0 < len(value) <= 4 and set(value) <= set("01234567"):
            mode = int(value, 8) & 0o777
        elif name == "group" and value:
            try:
                group = int(value) if value.isdecimal() else grp.getgrnam(value).gr_gid
            except KeyError:
                raise ValueError(f"there is no group {value!r}") from None
        else:
            raise ValueError(f"{part!r}: use unix:PATH?mode=0660&group=NAME")
    return socket_path(address), mode, group


def _bind_unix(path: Path, mode: int, group: int) -> socket.socket:
    """Takes over the socket of a process that is gone, never one that answers, and never another kind of file."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(str(path))
                except ConnectionRefusedError:
                    path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o077)  # the socket's file is made by bind
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    try:
        if group >= 0:
            os.chown(path, -1, group)
        os.chmod(path, mode)
    except OSError:
        path.unlink()
        raise
    listener.listen(64)
    return listener


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the process's affair."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server(app: Starlette) -> Server:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16 << 10,
        ws="none",
    )
    return Server(config)
