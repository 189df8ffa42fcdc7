"""An HTTP/JSON client of a ratelimitd (`POST /v1/check`) that needs nothing but the standard library.

Connections are kept alive, and shared between threads by taking turns. One that nobody used for `idle_seconds` by the
wall clock is closed instead: a frozen Lambda does not see that its peer, or a load balancer between, is gone.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from ratelimitd.client.form import decode, encode
from ratelimitd.client.outcome import CheckError, OnError, settle, validate
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

if TYPE_CHECKING:
    import ssl

IDLE_SECONDS = 240.0
PATH = "/v1/check"
MAX_ANSWER = 1 << 20  # bytes
MAX_KEPT = 64  # connections

# Statuses that are not verdicts, as codes. A request that the server would not read must not pass as if it had failed.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    405: "UNIMPLEMENTED",
    408: "UNAVAILABLE",
    413: "TOO_LARGE",
    414: "TOO_LARGE",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "TOO_LARGE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = "\0" + path[1:] if path.startswith("@") else path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _LostError(Exception):
    """The connection ended before an answer began."""


class HttpClient:
    """Blocking; for any number of threads.

    `address` is "HOST:PORT", "http://HOST:PORT", "https://HOST[:PORT]" or "unix:PATH"; `tls` an ssl.SSLContext with
    what https needs beyond the system's trust. `timeout` is a call's deadline in seconds, retry included. `on_error`:
    "raise" (CheckError), or a verdict that allows or denies, with `error` set.

    A call whose connection ends before an answer begins, or that finds nobody, is tried once more on a new connection
    within its deadline. It may count a request twice, never not at all.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:8081",
        *,
        timeout: float = 1.0,
        on_error: OnError = "raise",
        idle_seconds: float = IDLE_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        validate(on_error)
        self.address = address
        self.timeout = timeout
        self.on_error = on_error
        self._idle_seconds = idle_seconds
        self._tls = tls
        self._unix = address.removeprefix("unix:") if address.startswith("unix:") else ""
        url = urlsplit(address if "://" in address else f"http://{address}")
        if not self._unix and (url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/")):
            raise ValueError(f"{address!r}: must be HOST:PORT, http://HOST:PORT, https://HOST or unix:PATH")
        self._secure = not self._unix and url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port
        self._lock = threading.Lock()
        self._kept: list[tuple[http.client.HTTPConnection, float]] = []
        self._owner = os.getpid()
        self._headers = {"Content-Type": "application/json", "User-Agent": "ratelimitd-client"}

    def check(self, request: Request, *, timeout: float | None = None) -> Verdict:
        """Decides and counts one request. Raises CheckError if `on_error` is "raise"."""
        try:
            return self._check(request, time.monotonic() + (self.timeout if timeout is None else timeout))
        except CheckError as error:
            return settle(error, self.on_error)

    def close(self) -> None:
        """Closes the connections that nobody uses. A later call opens a new one."""
        with self._lock:
            kept, self._kept = self._kept, []
        for connection, _ in kept:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, request: Request, deadline: float) -> Verdict:
        try:
            body = encode(request)
        except (TypeError, ValueError) as error:
            raise CheckError(self.address, "INVALID_ARGUMENT", str(error)) from None
        try:
            try:
                status, answer = self._exchange(body, deadline, self._take())
            except _LostError:
                status, answer = self._exchange(body, deadline, None)
        except TimeoutError:
            raise CheckError(self.address, "DEADLINE_EXCEEDED", "no answer in time") from None
        except (OSError, http.client.HTTPException, _LostError) as error:
            said = str(error.__cause__ or error) or type(error).__name__
            raise CheckError(self.address, "UNAVAILABLE", said) from None
        return self._read(status, answer)

    def _read(self, status: int, answer: bytes) -> Verdict:
        if status != 200:
            code = _CODES.get(status, "UNKNOWN")
            raise CheckError(self.address, code, f"HTTP {status}: {answer[:200].decode('utf-8', 'replace')}".strip())
        try:
            return decode(answer)
        except ValueError as error:
            raise CheckError(self.address, "INTERNAL", f"this is no verdict: {error}") from None

    def _exchange(
        self, body: bytes, deadline: float, connection: http.client.HTTPConnection | None
    ) -> tuple[int, bytes]:
        """Sends once. Raises _LostError when the connection ended before an answer began, OSError, HTTPException."""
        connection = connection or self._open(_left(deadline))
        done = False
        try:
            try:
                if connection.sock is None:
                    connection.timeout = _left(deadline)
                    connection.connect()
                connection.sock.settimeout(_left(deadline))
                with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it had read all
                    connection.request("POST", PATH, body, self._headers)
                connection.sock.settimeout(_left(deadline))
                response = connection.getresponse()
            except (ConnectionError, http.client.BadStatusLine) as error:
                raise _LostError from error
            if connection.sock is not None:
                connection.sock.settimeout(_left(deadline))
            answer = response.read(MAX_ANSWER)
            if not response.isclosed() and response.read(1):
                raise http.client.HTTPException(f"the answer is longer than {MAX_ANSWER} bytes")
            done = connection.sock is not None and response.status != 503
        finally:
            if done:
                self._give(connection)
            else:
                connection.close()
        return response.status, answer

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self._unix:
            return _UnixConnection(self._unix, timeout)
        if self._secure:
            options: dict[str, Any] = {"context": self._tls} if self._tls else {}
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, **options)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _take(self) -> http.client.HTTPConnection | None:
        """The connection that was used last, unless that is too long ago or another process's."""
        with self._lock:
            if self._owner != os.getpid():
                self._owner, self._kept = os.getpid(), []
            if not self._kept:
                return None
            connection, used = self._kept.pop()
            if time.time() - used < self._idle_seconds:
                return connection
            stale, self._kept = [connection, *(c for c, _ in self._kept)], []
        for connection in stale:  # the others were used even longer ago
            connection.close()
        return None

    def _give(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._kept) < MAX_KEPT and self._owner == os.getpid():
                self._kept.append((connection, time.time()))
                return
        connection.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
