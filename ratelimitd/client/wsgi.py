"""WSGI middleware: requests are checked before the application sees them.

    app.wsgi_app = RateLimitMiddleware(app.wsgi_app, HttpClient("limiter:8081"), on_error="allow", trusted_hops=1)

PEP 3333.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, Literal, Protocol

from ratelimitd.client import denial
from ratelimitd.client.address import Headers
from ratelimitd.client.guard import BODY_LIMIT, Guard, encoded
from ratelimitd.client.outcome import CheckError
from ratelimitd.client.request import Request
from ratelimitd.client.verdict import Verdict

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class Asks(Protocol):
    """HttpClient or Client."""

    def check(self, request: Request, /) -> Verdict: ...


class RateLimitMiddleware:
    """Denied requests are answered (429, 403); the others go on, and their responses get RateLimit fields.

    `on_error`: without a verdict "allow", or "deny" (503). `trusted_hops`: proxies of ours before this server, such as
    1 behind a load balancer; 0: none; None: leave it to the policy's `client`. `body_limit`: bytes of a body that are
    read ahead and sent along, 0: none; the application reads the whole body all the same. `attributes`: what only the
    application knows, from the environ. `exempt`: paths that are not checked, such as that of health checks.
    """

    def __init__(
        self,
        app: App,
        client: Asks,
        *,
        on_error: Literal["allow", "deny"],
        trusted_hops: int | None = None,
        body_limit: int = BODY_LIMIT,
        domain: str = "",
        attributes: Callable[[Environ], Mapping[str, str]] | None = None,
        exempt: Collection[str] = (),
    ) -> None:
        self.app = app
        self._client = client
        self._guard = Guard(on_error, trusted_hops, body_limit, domain, exempt)
        self._attributes = attributes

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") in self._guard.exempt:
            return self.app(environ, start_response)
        verdict = self._verdict(environ)
        if verdict.allowed:
            return self.app(environ, _with_fields(start_response, verdict))
        body = denial.body(verdict)
        status = denial.status(verdict)
        start_response(f"{status} {denial.phrase(status)}", denial.headers(verdict, body))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _verdict(self, environ: Environ) -> Verdict:
        try:
            body, partial = _body(environ, self._guard.body_limit)
            request = self._guard.request(
                method=environ["REQUEST_METHOD"],
                path=_path(environ),
                peer=environ.get("REMOTE_ADDR", ""),
                scheme=environ.get("wsgi.url_scheme", "http"),
                headers=_headers(environ),
                body=body,
                partial_body=partial,
                attributes=self._attributes(environ) if self._attributes else {},
            )
            return self._client.check(request)
        except Exception as error:
            return self._guard.failed(error)


def _path(environ: Environ) -> str:
    """As the client sent it where the server tells, else encoded again."""
    for name in ("RAW_URI", "REQUEST_URI"):
        raw = environ.get(name)
        if isinstance(raw, str) and raw.startswith("/"):
            return encoded(raw.encode("latin-1", "replace"))
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    query = environ.get("QUERY_STRING", "").encode("latin-1", "replace")
    path = path.replace(b"%", b"%25").replace(b"?", b"%3F").replace(b"#", b"%23") or b"/"
    return encoded(path + b"?" + query if query else path)


def _headers(environ: Environ) -> Headers:
    headers: Headers = []
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            headers.append((key[5:].replace("_", "-").lower(), value.encode("latin-1", "replace")))
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            headers.append((key.replace("_", "-").lower(), value.encode("latin-1", "replace")))
    return headers


def _body(environ: Environ, limit: int) -> tuple[bytes | None, bool]:
    """The beginning of the body, and whether more follows. The application finds all of it in wsgi.input again.

    Raises CheckError for a length that is none. A body of unknown length is read only where the server marks its end.
    """
    said = environ.get("CONTENT_LENGTH") or ""
    if said and not (said.isascii() and said.isdigit()):
        raise CheckError("request", "INVALID_ARGUMENT", "Content-Length is not a number")
    if not limit or (said and not said.strip("0")):
        return None, False
    if not said and not ("HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated")):
        return None, False
    source = environ["wsgi.input"]
    read = source.read(min(int(said), limit) if said else limit + 1)
    whole = len(read) <= limit if not said else int(said) <= limit
    environ["wsgi.input"] = BytesIO(read) if whole else _Replay(read, source)
    return read[:limit], not whole


class _Replay:
    """What was read ahead, then the rest of the server's own input."""

    def __init__(self, read: bytes, rest: Any) -> None:
        self._read = BytesIO(read)
        self._rest = rest

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self._read.read() + bytes(self._rest.read())
        ahead = self._read.read(size)
        return ahead if len(ahead) == size else ahead + bytes(self._rest.read(size - len(ahead)))

    def readline(self, size: int | None = -1) -> bytes:
        line = self._read.readline(-1 if size is None else size)
        if line.endswith(b"\n") or (size is not None and 0 <= size == len(line)):
            return line
        left = -1 if size is None or size < 0 else size - len(line)
        return line + bytes(self._rest.readline(left) if left >= 0 else self._rest.readline())

    def readlines(self, hint: int | None = None) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


def _with_fields(start_response: StartResponse, verdict: Verdict) -> StartResponse:
    fields = list(verdict.headers)
    if not fields:
        return start_response

    def starting(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        return start_response(status, [*headers, *fields], *exc_info)

    return starting
