"""A Lambda Runtime API that hands out events and keeps the answers, for the real runtime client (awslambdaric).

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PREFIX = "/2018-06-01/runtime/"


class RuntimeApi:
    """`invoke` has an event handled by the process that asks here."""

    def __init__(self) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    def invoke(self, event: Any) -> Any:
        """The function's answer. Raises FunctionError."""
        self.events.put(event)
        kind, answer = self.answers.get(timeout=20)
        if kind != "response":
            raise FunctionError(f"{kind}: {answer['errorMessage']}")
        return answer

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class FunctionError(Exception):
    """What API Gateway sees of an error: its message."""


def _handler(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def do_GET(self) -> None:
            assert self.path == PREFIX + "invocation/next"
            body = json.dumps(api.events.get()).encode()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", f"r{time.monotonic_ns()}")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 3000))
            self.send_header(
                "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:f"
            )
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            api.answers.put((self.path.rpartition("/")[2], json.loads(body)))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    return Handler


@contextmanager
def function(handler: str, directory: Path, log: Path, **environ: str) -> Iterator[RuntimeApi]:
    """A function as Lambda runs it: the runtime client in a process of its own."""
    api = RuntimeApi()
    settings = {
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "LAMBDA_TASK_ROOT": str(directory),
        "PYTHONPATH": os.getcwd(),
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            cwd=directory,
            stdout=out,
            stderr=out,
            env={**os.environ, **settings, **environ},
        )
    try:
        yield api
    finally:
        process.kill()
        process.wait()
        api.close()
