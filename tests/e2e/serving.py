"""Processes that a test starts: on free ports, ready before use, gone after it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T | None], what: str, seconds: float = 20) -> T:
    """What `probe` returns once it is neither None nor False."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes to `log`, ended at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_line(process: subprocess.Popen[bytes], log: Path, pattern: str) -> re.Match[str]:
    def probe() -> re.Match[str] | None:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found is None and process.poll() is not None:
            raise AssertionError(f"exit code {process.returncode}:\n{log.read_text(errors='replace')[-4000:]}")
        return found

    return eventually(probe, f"{pattern!r} in {log.name}", 60)


@contextmanager
def ratelimitd(policy: Path, log: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A real server, and the free port of 127.0.0.1 that it took."""
    command = [sys.executable, "-m", "ratelimitd", "serve", "--policy", str(policy), "--listen", "127.0.0.1:0"]
    with running([*command, "--admin", "off", "--workers", "2", *arguments], log) as process:
        yield process, int(wait_for_line(process, log, r"ratelimitd ready: grpc 127\.0\.0\.1:(\d+)")[1])


class Echo(BaseHTTPRequestHandler):
    """Answers 200 with what arrived, as JSON."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        told = json.dumps({"method": self.command, "path": self.path, "body_bytes": len(body)}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = answer  # noqa: N815 (http.server's names)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Upstream(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of the default, 5, a burst of connections leaves some until Envoy gives up: 503


@contextmanager
def upstream(handler: type[BaseHTTPRequestHandler] = Echo) -> Iterator[int]:
    """What Envoy protects: a plain HTTP server on a free port."""
    server = Upstream(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
