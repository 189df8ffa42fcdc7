"""`POST /v1/check` as a client sees it: where it is, what is sent, and what an answer or a failure means."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from ratelimitd.client.base import IDLE_SECONDS, Base
from ratelimitd.client.form import decode, encode
from ratelimitd.client.http1 import Answer, AnswerError, question
from ratelimitd.client.outcome import CheckError, OnError
from ratelimitd.client.request import Request
from ratelimitd.client.trust import advised
from ratelimitd.client.verdict import Verdict

if TYPE_CHECKING:
    import ssl

PATH = "/v1/check"
MAX_CONNECTIONS = 64

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


class LostError(Exception):
    """The connection ended before an answer began."""


class Door:
    """`unix`: a socket's path ("\\0" before an abstract one); else `host` and `port` say where. `secure`: TLS."""

    def __init__(self, address: str, tls: ssl.SSLContext | None) -> None:
        self.address = address
        self.unix = address.removeprefix("unix:") if address.startswith("unix:") else ""
        if self.unix.startswith("@"):
            self.unix = "\0" + self.unix[1:]
        url = urlsplit(f"http://{'localhost' if self.unix else address}" if "://" not in address else address)
        host = url.hostname or ""
        if url.scheme not in ("http", "https") or url.netloc != url.netloc.rpartition("@")[2] or not _is_name(host):
            raise ValueError(f"{address!r}: must be HOST:PORT, http://HOST:PORT, https://HOST or unix:PATH")
        if url.path not in ("", "/") or url.query or url.fragment:
            raise ValueError(f"{address!r}: what is asked there is always {PATH}")
        self.secure = url.scheme == "https"
        self.host = host
        self.port = url.port or (443 if self.secure else 80)
        self.lost: tuple[type[Exception], ...] = (ConnectionError,)
        self._authority = url.netloc
        self._tls = tls

    def context(self) -> ssl.SSLContext:
        """What TLS connections are made by; by the system's trust when nothing else was said."""
        import ssl

        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        self.lost = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
        return self._tls

    def question(self, request: Request) -> bytes:
        """All that is sent. What has no place in the contract is as bad as what the server refuses: CheckError."""
        try:
            return question(self._authority, PATH, encode(request))
        except (TypeError, ValueError) as error:
            raise CheckError(self.address, "INVALID_ARGUMENT", str(error)) from None

    def verdict(self, answer: Answer) -> Verdict:
        """Raises CheckError for what is none."""
        text = bytes(answer.body)
        if answer.status != 200:
            said = text[:200].decode("utf-8", "replace").strip()
            if said == "this port speaks TLS." and not self.secure:  # which blames us, not the request
                raise CheckError(self.address, "UNAVAILABLE", f"{said} Ask it by https://{self._authority}")
            raise CheckError(self.address, _CODES.get(answer.status, "UNKNOWN"), f"HTTP {answer.status}: {said}")
        try:
            return decode(text)
        except ValueError as error:
            raise CheckError(self.address, "INTERNAL", f"this is no verdict: {error}") from None

    def failed(self, error: Exception) -> CheckError:
        """What a call says that came to nothing."""
        if isinstance(error, TimeoutError):
            return CheckError(self.address, "DEADLINE_EXCEEDED", "no answer in time")
        if isinstance(error, AnswerError):
            return CheckError(self.address, "UNAVAILABLE", f"this is no answer: {error}")
        cause = error.__cause__ or error
        return CheckError(self.address, "UNAVAILABLE", advised(str(cause) or type(cause).__name__))


def _is_name(host: str) -> bool:
    return bool(host) and host.isascii() and host.isprintable() and " " not in host


Connection = TypeVar("Connection")


class Kept(Generic[Connection]):
    """Connections that nobody uses, the last used first. They belong to one owner: a process, or a loop.

    What was not used for `idle_seconds` by the wall clock is not given out: a frozen Lambda does not see that its peer,
    or a load balancer between, is gone.
    """

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._owner: object = None
        self._kept: list[tuple[Connection, float]] = []

    def take(self, owner: object) -> tuple[Connection | None, list[Connection]]:
        """One to use, and those that are to be closed."""
        with self._lock:
            if self._owner != owner:  # another's connections are not ours to close
                self._owner, self._kept = owner, []
            if not self._kept:
                return None, []
            connection, used = self._kept.pop()
            if time.time() - used < self._idle_seconds:
                return connection, []
            stale, self._kept = [connection, *(c for c, _ in self._kept)], []
            return None, stale  # the others were used even longer ago

    def give(self, owner: object, connection: Connection) -> bool:
        """False: it is to be closed."""
        with self._lock:
            if len(self._kept) >= MAX_CONNECTIONS or self._owner != owner:
                return False
            self._kept.append((connection, time.time()))
            return True

    def all(self, owner: object) -> list[Connection]:
        """All of them, to be closed."""
        with self._lock:
            kept, self._kept = self._kept, []
            return [c for c, _ in kept] if self._owner == owner else []


class OfDoor(Base, Generic[Connection]):
    """What both clients for it are made of."""

    def __init__(
        self,
        address: str = "127.0.0.1:8081",
        *,
        timeout: float = 1.0,
        on_error: OnError = "raise",
        idle_seconds: float = IDLE_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(address, timeout, on_error, idle_seconds)
        self._door = Door(address, tls)
        self._kept: Kept[Connection] = Kept(idle_seconds)
