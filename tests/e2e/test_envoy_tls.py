"""A real Envoy that asks over mutual TLS, set up as docs/tls.md says."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from tests.certificates import Authority, Pair

from . import envoy_bootstrap, serving
from .conftest import listening

pytestmark = pytest.mark.e2e

DOCS = Path(__file__).parents[2] / "docs" / "tls.md"
POLICY = Path(__file__).parent / "policy"
SERVERS, CLIENTS = Authority("servers"), Authority("clients")

Behind = Callable[[Pair], httpx.Client]


def transport_socket(directory: Path) -> dict[str, Any]:
    """The example of the documentation, with files of the test."""
    found = re.search(r"```yaml\n(transport_socket:.*?)```", DOCS.read_text(), re.DOTALL)
    assert found
    return dict(YAML(typ="safe").load(found[1].replace("/etc/envoy/tls", str(directory))))


@pytest.fixture
def behind(executable: str, tmp_path: Path) -> Iterator[Behind]:
    """`behind(certificate)`: a client of an Envoy that bears it before ratelimitd."""
    with ExitStack() as stack:
        certificate, key = SERVERS.issue("ratelimitd.internal").write(tmp_path, "server")
        (tmp_path / "clients.crt").write_bytes(CLIENTS.pem)
        log = tmp_path / "ratelimitd.log"
        tls = ["--listen-tls", "127.0.0.1:0", "--tls-cert", str(certificate), "--tls-key", str(key)]
        mutual = ["--tls-client-ca", str(tmp_path / "clients.crt"), "--tls-client-names", "spiffe://prod/ns/edge/*"]
        process, _ = stack.enter_context(serving.ratelimitd(POLICY, log, *tls, *mutual))
        port = int(serving.wait_for_line(process, log, r" tls 127\.0\.0\.1:(\d+)")[1])
        app = stack.enter_context(serving.upstream())

        def start(pair: Pair) -> httpx.Client:
            (tmp_path / "tls.crt").write_bytes(pair.certificate)
            (tmp_path / "tls.key").write_bytes(pair.key)
            (tmp_path / "ca.crt").write_bytes(SERVERS.pem)
            bootstrap = envoy_bootstrap.guarded(ratelimitd=port, upstream=app)
            bootstrap["static_resources"]["clusters"][1] |= transport_socket(tmp_path)
            ports = stack.enter_context(listening(executable, bootstrap, tmp_path))
            base = f"http://127.0.0.1:{ports['guarded']}"
            return stack.enter_context(httpx.Client(base_url=base, timeout=20))

        yield start


def test_it_asks_over_mutual_tls(behind: Behind) -> None:
    client = behind(CLIENTS.issue("spiffe://prod/ns/edge/envoy", client=True))
    user = {"x-user": uuid.uuid4().hex}
    assert [client.post("/login", headers=user).status_code for _ in range(3)] == [200, 200, 429]


def test_a_stranger_fails_closed(behind: Behind, tmp_path: Path) -> None:
    client = behind(CLIENTS.issue("spiffe://test/ns/edge/envoy", client=True))
    assert client.post("/login", headers={"x-user": "x"}).status_code == 403
    log = tmp_path / "ratelimitd.log"
    line = serving.eventually(lambda: re.search(r'.*"TLS handshake failed".*', log.read_text()), "the log line")
    assert '"reason":"name"' in line[0]
    assert '"certificate":"spiffe://test/ns/edge/envoy"' in line[0]
