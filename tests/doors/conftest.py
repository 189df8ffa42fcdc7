"""Real proxies, each configured by the very file in examples/ on other ports, between a client and an upstream."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import httpx
import pytest

from ..e2e import serving

EXAMPLES = Path(__file__).parents[2] / "examples"
POLICY = Path(__file__).parent / "policy"
PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", str(Path(sys.executable).parent)])


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


def configured(example: str, ports: Ports) -> str:
    """The text of an example, which listens on 8080, asks 8081 and forwards to 8000, on other ports."""
    text = (EXAMPLES / example).read_text()
    for own, other in ((8080, ports.proxy), (8081, ports.ratelimitd), (8000, ports.app)):
        text = text.replace(f":{own}", f":{other}").replace(f"port_value: {own}", f"port_value: {other}")
    return text


def with_line(text: str, line: str, added: str) -> str:
    """One more line behind the one that ends with `line`, as far indented."""
    found = next(whole for whole in text.splitlines() if whole.endswith(line))
    indent = found[: len(found) - len(found.lstrip())]
    return text.replace(found, f"{found}\n{indent}{added}", 1)


def answering(port: int) -> bool:
    with closing(socket.socket()) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx(ports: Ports, directory: Path) -> Iterator[None]:
    extra, config = directory / "test.conf", directory / "nginx.conf"
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    extra.write_text("access_log off;\n" + "".join(f"{name}_temp_path {directory / name};\n" for name in names))
    config.write_text(with_line(configured("nginx/nginx.conf", ports), "http {", f"include {extra};"))
    directives = f"daemon off; master_process off; pid {directory / 'pid'};"
    command = [program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(config), "-g", directives]
    with serving.running(command, directory / "nginx.log"):
        yield


@contextmanager
def haproxy(ports: Ports, directory: Path) -> Iterator[None]:
    for name in ("haproxy.cfg", "ratelimitd.lua"):
        (directory / name).write_text(configured(f"haproxy/{name}", ports))
    with serving.running([program("haproxy"), "-f", str(directory / "haproxy.cfg")], directory / "haproxy.log"):
        yield


@contextmanager
def caddy(ports: Ports, directory: Path) -> Iterator[None]:
    """It believes its peer's X-Forwarded-For, as behind a balancer; else all tests would be one client."""
    text = configured("caddy/Caddyfile", ports)
    block = f"forward_auth 127.0.0.1:{ports.ratelimitd} {{"
    (directory / "Caddyfile").write_text(with_line(text, block, "\ttrusted_proxies 127.0.0.0/8"))
    command = [program("caddy"), "run", "--config", str(directory / "Caddyfile")]
    with serving.running(command, directory / "caddy.log"):
        yield


@contextmanager
def envoy(ports: Ports, directory: Path) -> Iterator[None]:
    """For a loopback peer Envoy would append the address of its own machine: the tests stand for a balancer instead."""
    text = configured("envoy/envoy-http.yaml", ports)
    (directory / "envoy.yaml").write_text(with_line(text, "use_remote_address: true", "skip_xff_append: true"))
    command = [program("envoy"), "-c", str(directory / "envoy.yaml"), "--disable-hot-restart", "--concurrency", "1"]
    with serving.running([*command, "-l", "warning"], directory / "envoy.log"):
        yield


@contextmanager
def traefik(ports: Ports, directory: Path) -> Iterator[None]:
    """Behind a balancer that says who the client is, and takes away what a client says of the rest, as balancers do."""
    static = configured("traefik/traefik.yml", ports).replace("dynamic.yml", str(directory / "dynamic.yml"))
    address = f'address: "127.0.0.1:{ports.proxy}"'
    static = with_line(static, address, "forwardedHeaders: {trustedIPs: [127.0.0.0/8]}")
    dynamic = configured("traefik/dynamic.yml", ports).replace("[ratelimitd]", "[balancer, ratelimitd]")
    dynamic = dynamic.replace("trustForwardHeader: false", "trustForwardHeader: true")
    lies = ", ".join(f'X-Forwarded-{name}: ""' for name in ("Method", "Uri", "Host"))
    balancer = f"    balancer: {{headers: {{customRequestHeaders: {{{lies}}}}}}}"
    (directory / "dynamic.yml").write_text(dynamic.replace("\n  middlewares:\n", f"\n  middlewares:\n{balancer}\n"))
    (directory / "traefik.yml").write_text(static)
    command = [program("traefik"), f"--configFile={directory / 'traefik.yml'}"]
    with serving.running(command, directory / "traefik.log"):
        yield


PROXIES = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy, "envoy": envoy, "traefik": traefik}


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
