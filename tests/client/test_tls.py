"""Every client at the server's own TLS port: what is wrong decides nothing, and the caller hears what to do."""

from __future__ import annotations

import json
import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from ratelimitd.client import CheckError, Request
from tests.certificates import Authority, Pair
from tests.e2e import serving

from .asking import ASYNCHRONOUS, BLOCKING, KINDS, ask

pytestmark = pytest.mark.e2e

POLICY = "version: 1\ndomain: shop\nlimits:\n  per-ip: {key: client.ip, limit: 1000, window: 1h}\n"
REQUEST = Request("GET", "/", "203.0.113.7")
LATE = timedelta(hours=-1)

CA = Authority()
CLIENTS = Authority("authority of clients")
STRANGER = Authority("another")
OURS = CA.issue("localhost")
EDGE = CLIENTS.issue("a.edge.example", client=True)


@dataclass(frozen=True)
class Server:
    """A serving process: its ports, and what it logs."""

    tls: int
    plain: int
    admin: str
    log: Path

    def metric(self, name: str) -> float:
        """The sum of all samples whose line begins with what this pattern matches."""
        told = httpx.get(f"{self.admin}/metrics", verify=False).text
        return sum(float(line.split()[-1]) for line in told.splitlines() if re.match(name, line))

    def lines(self, event: str) -> list[dict[str, Any]]:
        parsed = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in parsed if line["event"] == event]


@contextmanager
def started(directory: Path, pair: Pair, *extra: str) -> Iterator[Server]:
    directory.mkdir()
    policy, log = directory / "policy.yaml", directory / "log"
    policy.write_text(POLICY)
    certificate, key = pair.write(directory, "server")
    files = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    ports = ["--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command = [sys.executable, "-m", "ratelimitd", "serve", "--policy", str(policy), "--workers", "1", *ports, *files]
    with serving.running([*command, "--max-keys", "4096", *extra], log) as process:
        ready = serving.wait_for_line(process, log, r"ratelimitd ready: .*")[0]
        found = re.search(r"grpc 127\.0\.0\.1:(\d+), tls 127\.0\.0\.1:(\d+), admin (127\.0\.0\.1:\d+)", ready)
        assert found, ready
        yield Server(int(found[2]), int(found[1]), f"http://{found[3]}", log)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    directory = tmp_path_factory.mktemp("servers")
    (directory / "clients.pem").write_bytes(CLIENTS.pem)
    mutual = ["--tls-client-ca", str(directory / "clients.pem"), "--tls-client-names", "*.edge.example"]
    with ExitStack() as stack:
        yield {
            "ours": stack.enter_context(started(directory / "ours", OURS)),
            "expired": stack.enter_context(started(directory / "expired", CA.issue("localhost", ends=LATE))),
            "mutual": stack.enter_context(started(directory / "mutual", OURS, *mutual)),
        }


def trust(kind: str, ca: Authority, client: Pair | None, directory: Path) -> dict[str, Any]:
    """What a client of that kind is made with."""
    if kind.startswith("grpc"):
        own = (client.key, client.certificate) if client else (None, None)
        return {"credentials": grpc.ssl_channel_credentials(ca.pem, *own)}
    made = ssl.create_default_context(cadata=ca.pem.decode())
    if client:
        made.load_cert_chain(*client.write(directory, "client"))
    return {"tls": made}


def address(kind: str, host: str, port: int) -> str:
    return f"https://{host}:{port}" if kind.startswith("http") else f"{host}:{port}"


@dataclass(frozen=True)
class Wrong:
    """What is wrong: what the caller hears by HTTP and by gRPC, and what the server calls it.

    Of its own certificate it hears by an alert, or, as asyncio and gRPC have it, the client is gone.
    """

    says: str
    reason: str = "(refused_by_peer|gone)"
    server: str = "mutual"
    host: str = "localhost"
    ca: Authority = CA
    client: Pair | None = None
    says_by_grpc: str = "the limiter refuses this client's certificate, or that it shows none"

    def options(self, kind: str, directory: Path) -> dict[str, Any]:
        return {"timeout": 5, **trust(kind, self.ca, self.client, directory)}

    def words(self, kind: str) -> str:
        return self.says_by_grpc if kind.startswith("grpc") and self.server == "mutual" else self.says


WRONG = {
    "the server's authority": Wrong("does not trust who signed", server="ours", ca=STRANGER),
    "the server's name": Wrong("bears other names", server="ours", host="127.0.0.1"),
    "the server's certificate, which has expired": Wrong(
        "the limiter's certificate has expired: renew it", server="expired"
    ),
    "no client certificate": Wrong("was shown none: give it one", "no_certificate"),
    "the client's authority": Wrong(
        "does not know who signed", "unknown_ca", client=STRANGER.issue("a.edge.example", client=True)
    ),
    "the client's certificate, which has expired": Wrong(
        "this client's certificate has expired: renew it",
        "expired",
        client=CLIENTS.issue("a.edge.example", client=True, ends=LATE),
    ),
    "the client's name": Wrong("see --tls-client-names", "name", client=CLIENTS.issue("a.other.example", client=True)),
    "a certificate for servers": Wrong("is not for clients", "bad_certificate", client=CLIENTS.issue("a.edge.example")),
}


@KINDS
@pytest.mark.parametrize(("name", "client"), [("ours", None), ("mutual", EDGE)])
def test_who_shows_the_right_certificate_is_answered(
    kind: str, name: str, client: Pair | None, servers: dict[str, Server], tmp_path: Path
) -> None:
    verdict = ask(
        kind,
        address(kind, "localhost", servers[name].tls),
        REQUEST,
        on_error="raise",
        timeout=5,
        **trust(kind, CA, client, tmp_path),
    )
    assert (verdict.allowed, verdict.error, verdict.limits[0].name) == (True, "", "per-ip")


@KINDS
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_and_decides_nothing(
    kind: str, what: str, servers: dict[str, Server], tmp_path: Path
) -> None:
    wrong = WRONG[what]
    server = servers[wrong.server]
    at = address(kind, wrong.host, server.tls)
    counted = rf'ratelimitd_tls_handshake_failures_total\{{reason="{wrong.reason}"\}}'
    failures, calls = server.metric(counted), server.metric("ratelimitd_calls_total")
    with pytest.raises(CheckError) as caught:
        ask(kind, at, REQUEST, on_error="raise", **wrong.options(kind, tmp_path))
    assert (caught.value.code, caught.value.refused) == ("UNAVAILABLE", False)
    assert wrong.words(kind) in caught.value.details
    for on_error in ("allow", "deny"):
        verdict = ask(kind, at, REQUEST, on_error=on_error, **wrong.options(kind, tmp_path))
        assert (verdict.allowed, verdict.reason) == (on_error == "allow", "no_answer")
        assert wrong.words(kind) in verdict.error
    # gRPC looks at names when hands are shaken already, and hangs up without a word.
    if not (kind.startswith("grpc") and wrong.host != "localhost"):
        serving.eventually(lambda: server.metric(counted) >= failures + 3, counted)
    assert server.metric("ratelimitd_calls_total") == calls


def test_the_log_says_who_failed_and_why(tmp_path: Path) -> None:
    """Of a server of its own, as the log tells only a few of many at once."""
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    mutual = ["--tls-client-ca", str(tmp_path / "clients.pem"), "--tls-client-names", "*.edge.example"]
    with started(tmp_path / "server", OURS, *mutual) as server:
        at = address("http", "localhost", server.tls)
        for wrong in WRONG.values():
            if wrong.server == "mutual":
                ask("http", at, REQUEST, on_error="deny", **wrong.options("http", tmp_path))
        reasons = [wrong.reason for wrong in WRONG.values() if wrong.server == "mutual"]
        event = "TLS handshake failed"
        serving.eventually(lambda: len(server.lines(event)) >= len(reasons), "the log")
        assert [line["reason"] for line in server.lines(event)] == reasons
        for line in server.lines(event):
            assert line["level"] == "warning"
            assert line["meaning"]
            assert line["peer"].startswith("127.0.0.1:")
            assert ("certificate" in line) is (line["reason"] != "no_certificate")


def test_the_log_says_that_a_client_does_not_trust_us(tmp_path: Path) -> None:
    """By an alert, or by leaving at the sight of our certificate."""
    event = "TLS handshake failed"
    with started(tmp_path / "server", OURS) as server:
        for kind in (*BLOCKING, *ASYNCHRONOUS):
            before = len(server.lines(event))
            options = trust(kind, STRANGER, None, tmp_path)
            ask(kind, address(kind, "localhost", server.tls), REQUEST, on_error="deny", timeout=5, **options)
            serving.eventually(lambda told=before: len(server.lines(event)) > told, f"a line about {kind}")
        assert {line["reason"] for line in server.lines(event)} <= {"refused_by_peer", "gone"}
        assert all("our certificate" in line["meaning"] for line in server.lines(event))


@KINDS
def test_tls_at_the_plain_port(kind: str, servers: dict[str, Server], tmp_path: Path) -> None:
    server = servers["ours"]
    options = {"timeout": 5, **trust(kind, CA, None, tmp_path)}
    for on_error in ("allow", "deny"):
        verdict = ask(kind, address(kind, "localhost", server.plain), REQUEST, on_error=on_error, **options)
        assert (verdict.allowed, verdict.reason) == (on_error == "allow", "no_answer")
        assert "--listen-tls is the one that does" in verdict.error


@KINDS
def test_plain_text_at_the_tls_port(kind: str, servers: dict[str, Server]) -> None:
    """A 400 that blames the client's settings must not look like one that blames the request."""
    server = servers["ours"]
    for on_error in ("allow", "deny"):
        verdict = ask(kind, f"localhost:{server.tls}", REQUEST, on_error=on_error, timeout=5)
        assert (verdict.allowed, verdict.reason) == (on_error == "allow", "no_answer")
        if kind.startswith("http"):
            assert f"Ask it by https://localhost:{server.tls}" in verdict.error


@pytest.mark.parametrize("kind", ["http", "http-async"])
def test_a_connection_over_tls_is_kept_and_resumed(kind: str, servers: dict[str, Server], tmp_path: Path) -> None:
    server = servers["ours"]
    before = server.metric("ratelimitd_tls_handshakes_total")
    at = address(kind, "localhost", server.tls)
    assert ask(kind, at, *[REQUEST] * 5, timeout=5, **trust(kind, CA, None, tmp_path)).allowed
    assert server.metric("ratelimitd_tls_handshakes_total") == before + 1
