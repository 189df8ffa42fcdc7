"""A real `ratelimitd serve` for tests: its own process, free ports, stderr read as it comes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

POLICY = """\
version: 1
domain: shop
limits:
  per-ip: {key: client.ip, limit: 100, window: 1m}
  login:
    match: {method: POST, path: /login}
    key: client.ip
    limit: 2
    window: 1h
tests:
  - name: the third login is denied
    requests: {repeat: 3, method: POST, path: /login, ip: 203.0.113.7}
    expect: {allowed: 2, denied: 1, limit: login}
"""


class Server:
    """A serving process. `lines` is its stderr."""

    def __init__(self, arguments: list[str], environ: dict[str, str]) -> None:
        command = [sys.executable, "-m", "ratelimitd", "serve", *arguments]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RATELIMITD_")}
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**clean, "RATELIMITD_CACHE_DIR": "off", **environ}
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def until(self, condition: Callable[[], Any], seconds: float = 5.0) -> Any:
        """The first true value of `condition`."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s; stderr:\n{''.join(self.lines)}"
            time.sleep(0.005)
        return value

    def ready(self) -> str:
        """Waits for the ready line."""

        def line() -> str:
            assert self.process.poll() is None, "".join(self.lines)
            return next((x.strip() for x in self.lines if x.startswith("ratelimitd ready:")), "")

        return str(self.until(line, 10))

    @property
    def addresses(self) -> list[str]:
        return re.findall(r"grpc ([^,]+),", self.ready())

    @property
    def admin(self) -> str:
        """The base URL of the admin endpoints."""
        found = re.search(r"admin ([^,]+),", self.ready())
        assert found
        return f"http://{found[1]}"

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The JSON log lines of one event."""
        parsed = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [line for line in parsed if line["event"] == event]

    def stop(self, number: int = signal.SIGTERM, seconds: float = 5.0) -> int:
        """Sends a signal; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(seconds)
        self._reader.join(2)
        return code


Launch = Callable[..., Server]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts servers on free ports of loopback; whatever still runs afterwards is killed."""
    started: list[Server] = []

    def start(*arguments: str, environ: dict[str, str] | None = None) -> Server:
        defaults = [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]
        defaults += [] if "--admin" in arguments else ["--admin", "127.0.0.1:0"]
        server = Server([*defaults, "--workers", "1", "--max-keys", "4096", *arguments], environ or {})
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(POLICY)
    return path
