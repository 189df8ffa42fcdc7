"""One question to the admin port of a running server: JSON comes back."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from ratelimitd.errors import RatelimitdError

TIMEOUT_SECONDS = 5.0
MAX_BYTES = 64 << 20


class AdminError(RatelimitdError):
    """No answer, or one that refuses: what is wrong, and what to do."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Port:
    """Where a server's admin port is (HOST:PORT or unix:PATH), and the file whose first token it knows; "": none."""

    address: str
    token_file: str = ""

    def headers(self) -> dict[str, str]:
        if not self.token_file:
            return {}
        try:
            lines = Path(self.token_file).read_text(encoding="latin-1").split()
        except OSError as error:
            raise AdminError(f"--admin-token-file {self.token_file}: {error.strerror or error}") from None
        if not lines:
            raise AdminError(f"--admin-token-file {self.token_file}: it has no token")
        return {"Authorization": f"Bearer {lines[0]}"}


def ask(port: Port, method: str, path: str, query: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """Raises AdminError."""
    address, headers = port.address, port.headers()
    connection = (
        UnixConnection(address.removeprefix("unix:"))
        if address.startswith("unix:")
        else http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    )
    try:
        connection.request(method, f"{path}?{urlencode(query)}" if query else path, headers=headers)
        response = connection.getresponse()
        status, content = response.status, orjson.loads(response.read(MAX_BYTES))
    except orjson.JSONDecodeError:
        raise AdminError(f"{address} answers, but is no admin port of ratelimitd") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise AdminError(
            f"no answer from {address}: {reason}\nis ratelimitd running there? --admin says where its admin port is"
        ) from None
    finally:
        connection.close()
    if not isinstance(content, dict):
        raise AdminError(f"{address} answers, but is no admin port of ratelimitd")
    if status != 200:
        raise AdminError("\n".join(_refusal(content)))
    return content


def _refusal(content: dict[str, Any]) -> list[str]:
    """What is wrong, what to do, and what there is to choose from."""
    lines = [str(content.get("error", "refused"))]
    lines += [
        f"{name}: {', '.join(map(str, value))}"
        for name, value in content.items()
        if isinstance(value, list) and value and name != "key"
    ]
    hint = content.get("hint", "")
    return [*lines, *([str(hint)] if hint and not str(hint).startswith("/") else [])]
