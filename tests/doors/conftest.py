"""Real proxies, each configured by the very file in examples/ on other ports, between a client and an upstream."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

from ..e2e import serving

EXAMPLES = Path(__file__).parents[2] / "examples"
POLICY = Path(__file__).parent / "policy.yaml"
PATH = "/usr/local/bin:/usr/bin:/usr/sbin:/root/go/bin"


@dataclass
class Ports:
    """Of this machine: where the proxy listens, and what stands behind it."""

    proxy: int
    ratelimitd: int
    app: int


@dataclass
class Proxy:
    """Clients of a proxy that asks ratelimitd, and of one whose ratelimitd is away."""

    name: str
    client: httpx.Client
    lonely: httpx.Client


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def configured(example: str, ports: Ports, own_port: int) -> str:
    """The text of an example that listens on own_port, asks 127.0.0.1:8081 and forwards to 127.0.0.1:8000."""
    text = (EXAMPLES / example).read_text()
    for own, other in ((own_port, ports.proxy), (8081, ports.ratelimitd), (8000, ports.app)):
        assert f"127.0.0.1:{own}" in text
        text = text.replace(f"127.0.0.1:{own}", f"127.0.0.1:{other}")
    return text


def answering(port: int) -> bool:
    with closing(socket.socket()) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx(ports: Ports, directory: Path) -> Iterator[None]:
    extra = directory / "test.conf"
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    extra.write_text("access_log off;\n" + "".join(f"{name}_temp_path {directory / name};\n" for name in names))
    config = directory / "nginx.conf"
    text = configured("nginx/nginx.conf", ports, 8080)
    config.write_text(text.replace("http {", f"http {{ include {extra};", 1))
    directives = f"daemon off; master_process off; pid {directory / 'pid'};"
    command = [program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(config), "-g", directives]
    with serving.running(command, directory / "nginx.log"):
        yield


PROXIES = {"nginx": nginx}


def started(name: str, ports: Ports, directory: Path) -> AbstractContextManager[None]:
    directory.mkdir()
    return PROXIES[name](ports, directory)


@pytest.fixture(scope="session", params=list(PROXIES))
def proxy(
    request: pytest.FixtureRequest, backends: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    directory = tmp_path_factory.mktemp(request.param)
    ratelimitd, app = backends
    with ExitStack() as stack:
        clients = []
        for asked in (ratelimitd, free_port()):
            ports = Ports(free_port(), asked, app)
            stack.enter_context(started(request.param, ports, directory / str(len(clients))))
            serving.eventually(lambda port=ports.proxy: answering(port), request.param, 30)
            client = httpx.Client(base_url=f"http://127.0.0.1:{ports.proxy}", timeout=10)
            clients.append(stack.enter_context(client))
        yield Proxy(request.param, *clients)


@pytest.fixture(scope="session")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of a ratelimitd and of an app."""
    directory = tmp_path_factory.mktemp("backends")
    with ExitStack() as stack:
        _, port = stack.enter_context(serving.ratelimitd(POLICY, directory / "ratelimitd.log"))
        yield port, stack.enter_context(serving.upstream())


_numbers = count(1)


@pytest.fixture
def somebody() -> dict[str, str]:
    """The header of a client that nobody has seen before. The tests' own address stands for a trusted balancer's."""
    n = next(_numbers)
    return {"x-forwarded-for": f"203.0.{n // 250}.{n % 250 + 1}"}
