"""Applications behind the middleware, under real servers."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(path: Path, **environ: str) -> Any:
    """The module of a file, with settings in its environment."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    before = {name: os.environ.get(name) for name in environ}
    os.environ.update(environ)
    try:
        spec.loader.exec_module(module)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return module


@contextmanager
def asgi(app: Any, ws: Any = "none") -> Iterator[str]:
    """Under uvicorn, which believes no header. The base URL."""
    # Without its own configuration of logging, which would stay for all tests of the process.
    config = uvicorn.Config(
        app, "127.0.0.1", 0, log_config=None, log_level="warning", proxy_headers=False, lifespan="off", ws=ws
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(5)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def wsgi(app: Any) -> Iterator[str]:
    """Under the standard library's server. The base URL."""
    server = make_server("127.0.0.1", 0, app, _Threads, _Quiet)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def gunicorn(name: str, directory: Path, log: Path, **environ: str) -> Iterator[str]:
    """Under gunicorn, in a process of its own. The base URL."""
    paths = os.pathsep.join([os.getcwd(), str(directory)])
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", name]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env={**os.environ, "PYTHONPATH": paths, **environ})

    def url() -> str:
        assert process.poll() is None, log.read_text()
        return next((w for line in log.read_text().splitlines() for w in line.split() if w.startswith("http://")), "")

    try:
        until(url)
        yield url()
    finally:
        process.terminate()
        process.wait(10)


def until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
