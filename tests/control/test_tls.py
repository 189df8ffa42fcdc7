"""TLS and tokens on a real server: what it takes to start, certificates that change, who may ask the admin port."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from ratelimitd.certificates import TlsFiles, chosen
from ratelimitd.errors import SettingsError
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs
from tests.certificates import Authority, Pair

from .conftest import Launch, Server

pytestmark = pytest.mark.e2e

CA = Authority()
CLIENTS = Authority("authority of clients")
EDGE = CLIENTS.issue("edge.example.com", client=True)
TOKEN = "0123456789abcdef0123456789abcdef"


def tls(directory: Path, pair: Pair) -> list[str]:
    certificate, key = pair.write(directory, "server")
    return ["--listen-tls", "127.0.0.1:0", "--tls-cert", str(certificate), "--tls-key", str(key)]


def address(server: Server) -> str:
    found = re.search(r"tls ([^,]+),", server.ready())
    assert found
    return found[1]


@contextmanager
def asking(at: str, client: Pair | None = None) -> Iterator[stubs.RateLimitServiceStub]:
    credentials = grpc.ssl_channel_credentials(CA.pem, client and client.key, client and client.certificate)
    names = [("grpc.ssl_target_name_override", "localhost")]
    with grpc.secure_channel(at, credentials, options=names) as channel:
        yield stubs.RateLimitServiceStub(channel)


def ask(at: str, client: Pair | None = None) -> int:
    with asking(at, client) as stub:
        return int(stub.Check(pb.CheckRequest(source_address="203.0.113.7", path="/"), timeout=5).decision)


def readyz(server: Server, **headers: str) -> dict[str, Any]:
    told: dict[str, Any] = httpx.get(f"{server.admin}/readyz", headers=headers).json()
    return told


def served(at: str) -> bytes:
    """The certificate that a new connection is shown, PEM."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", at, "-alpn", "h2"], input=b"", capture_output=True, timeout=10, check=False
    )
    assert b"ALPN protocol: h2" in done.stdout
    found = re.search(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", done.stdout, re.DOTALL)
    assert found
    return found[0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"listens": True}, "needs --tls-cert and --tls-key"),
        ({"listens": True, "certificate": "x"}, "needs --tls-cert and --tls-key"),
        ({"certificate": "x", "key": "y"}, "need --listen-tls"),
        ({"client_names": ("a.example",)}, "need --listen-tls"),
        ({"listens": True, "certificate": "x", "key": "y", "client_names": ("a",)}, "needs --tls-client-ca"),
    ],
)
def test_half_of_something(given: dict[str, Any], says: str) -> None:
    nothing = {"listens": False, "certificate": "", "key": "", "client_ca": "", "client_names": ()}
    assert chosen(**nothing) is None  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=says):
        chosen(**{**nothing, **given})  # type: ignore[arg-type]


def test_all_of_it() -> None:
    files = chosen(listens=True, certificate="c", key="k", client_ca="", client_names=())
    assert files == TlsFiles(Path("c"), Path("k"))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [("server.pem", "No such file"), ("server.key", "No such file"), ("clients.pem", "then nobody could ask")],
)
def test_what_cannot_be_used_ends_the_start(
    launch: Launch, policy: Path, tmp_path: Path, spoil: str, says: str
) -> None:
    arguments = tls(tmp_path, CA.issue("localhost"))
    (tmp_path / "clients.pem").write_bytes(b"" if spoil == "clients.pem" else CLIENTS.pem)
    if spoil != "clients.pem":
        (tmp_path / spoil).unlink()
    server = launch("--policy", str(policy), *arguments, "--tls-client-ca", str(tmp_path / "clients.pem"))
    assert server.process.wait(20) == 2
    server._reader.join(2)
    assert says in "".join(server.lines)
    assert spoil in "".join(server.lines)


def test_tls_alone_leaves_no_plain_port(launch: Launch, policy: Path, tmp_path: Path) -> None:
    """The default address of --listen is for who says nothing."""
    arguments = tls(tmp_path, CA.issue("localhost"))
    server = Server(["--policy", str(policy), "--admin", "off", "--workers", "1", *arguments], {})
    try:
        assert re.fullmatch(r"ratelimitd ready: tls 127.0.0.1:\d+, admin off, .*", server.ready())
        assert ask(address(server)) == pb.DECISION_ALLOW
    finally:
        assert server.stop() == 0


def test_mutual_tls(launch: Launch, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "clients.pem").write_bytes(CLIENTS.pem)
    mutual = ["--tls-client-ca", str(tmp_path / "clients.pem"), "--tls-client-names", "*.example.com"]
    server = launch("--policy", str(policy), *tls(tmp_path, CA.issue("localhost")), *mutual)
    at = address(server)
    assert ask(at, EDGE) == pb.DECISION_ALLOW
    with pytest.raises(grpc.RpcError):
        ask(at, CLIENTS.issue("edge.example.net", client=True))
    line = server.until(lambda: server.logged("TLS handshake failed"))[0]
    assert line["level"] == "warning"
    assert (line["reason"], line["certificate"]) == ("name", "edge.example.net")
    assert "--tls-client-names" in line["meaning"]
    assert line["peer"].startswith("127.0.0.1:")
    told = httpx.get(f"{server.admin}/metrics").text
    assert 'ratelimitd_tls_handshakes_total{kind="full"} 1.0' in told
    assert 'ratelimitd_tls_certificate_expiry_timestamp_seconds{certificate="client_ca"}' in told
    assert float(re.findall(r'handshake_failures_total{reason="name"} (\S+)', told)[0]) >= 1


def test_the_log_of_failures_is_capped(launch: Launch, policy: Path, tmp_path: Path) -> None:
    server = launch("--policy", str(policy), *tls(tmp_path, CA.issue("localhost")))
    at = address(server)
    for _ in range(300):
        httpx_fails(at)
    count = 'ratelimitd_tls_handshake_failures_total{reason="not_tls"} 300.0'
    server.until(lambda: count in httpx.get(f"{server.admin}/metrics").text)
    server.until(lambda: server.logged("TLS handshake failed"))
    assert len(server.logged("TLS handshake failed")) < 100


def httpx_fails(at: str) -> None:
    """Plain text to the TLS port: a 400 that says so."""
    answer = httpx.get(f"http://{at}/auth")
    assert (answer.status_code, answer.text) == (400, "this port speaks TLS.\r\n")


def test_curl_over_both_protocols(launch: Launch, policy: Path, tmp_path: Path) -> None:
    server = launch("--policy", str(policy), *tls(tmp_path, CA.issue("localhost", "127.0.0.1")))
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    for protocol, version in (("--http1.1", "1.1"), ("--http2", "2")):
        command = ["curl", "-s", protocol, "--cacert", str(tmp_path / "ca.pem"), f"https://{address(server)}/auth"]
        asked = ["-H", "X-Original-URI: /a", "-H", "X-Original-Method: GET", "-H", "X-Forwarded-For: 203.0.113.7"]
        done = subprocess.run(
            [*command, *asked, "-o", "/dev/null", "-w", "%{http_code} %{http_version}"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        assert done.stdout == f"200 {version}"


class Load:
    """Asks without pause over many connections, each for a few calls; `failed` is what went wrong."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.failed: list[Exception] = []
        self.calls = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(long,)) for long in (True, True, False, False)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, long: bool) -> None:
        while not self._stop.is_set():
            try:
                with asking(self.at) as stub:
                    for _ in range(10):
                        if self._stop.is_set():
                            break
                        stub.Check(pb.CheckRequest(source_address="203.0.113.7", path="/"), timeout=5)
                        self.calls += 1
                    while long and not self._stop.is_set():
                        stub.Check(pb.CheckRequest(source_address="203.0.113.7", path="/"), timeout=5)
                        self.calls += 1
            except grpc.RpcError as error:
                self.failed.append(error)


def test_certificates_are_replaced_under_load(launch: Launch, policy: Path, tmp_path: Path) -> None:
    """As Kubernetes does: a symlink is swapped. No call fails, a broken one changes nothing, and says so."""

    def publish(name: str, pair: Pair) -> None:
        (tmp_path / name).mkdir()
        pair.write(tmp_path / name, "server")
        (tmp_path / "new").symlink_to(name)
        (tmp_path / "new").rename(tmp_path / "data")

    first, second, third = (CA.issue("localhost") for _ in range(3))
    publish("one", first)
    files = ["--tls-cert", str(tmp_path / "data/server.pem"), "--tls-key", str(tmp_path / "data/server.key")]
    server = launch("--policy", str(policy), "--listen-tls", "127.0.0.1:0", *files)
    at = address(server)
    with Load(at) as load:
        server.until(lambda: load.calls > 100)
        assert served(at) == first.certificate
        publish("two", second)
        server.until(lambda: served(at) == second.certificate)
        publish("broken", Pair(third.certificate, first.key))
        server.until(lambda: server.logged("certificates refused: the last good ones stay"))
        assert served(at) == second.certificate
        told = readyz(server)
        assert told["status"] == "degraded"
        assert "does not belong" in told["tls"]["error"]
        assert "ratelimitd_tls_reload_success 0.0" in httpx.get(f"{server.admin}/metrics").text
        publish("three", third)
        server.until(lambda: served(at) == third.certificate)
        server.until(lambda: readyz(server)["status"] == "ready")
        calls = load.calls
        server.until(lambda: load.calls > calls + 100)
    assert load.failed == []
    assert len(server.logged("certificates reloaded")) == 2
    assert "does not belong" in server.logged("certificates refused: the last good ones stay")[0]["error"]


def test_an_end_that_is_near_is_told(launch: Launch, policy: Path, tmp_path: Path) -> None:
    """A quarter of the life of short ones, two weeks of long ones; an expired one is told as an error."""
    fresh = CA.issue("localhost", starts=-timedelta(hours=1), ends=timedelta(hours=20))
    near = CA.issue("localhost", starts=-timedelta(hours=20), ends=timedelta(hours=3))
    stale = CA.issue("localhost", ends=-timedelta(hours=1))
    server = launch("--policy", str(policy), *tls(tmp_path, fresh))
    server.ready()
    near.write(tmp_path, "server")
    line = server.until(lambda: server.logged("the TLS certificate expires soon"))[0]
    assert line["level"] == "warning"
    assert line["days"] == 0.1
    stale.write(tmp_path, "server")
    line = server.until(lambda: server.logged("certificates refused: the last good ones stay"))[0]
    assert "has expired" in line["error"]
    late = launch("--policy", str(policy), *tls(tmp_path, stale))
    assert late.until(lambda: late.logged("the TLS certificate has expired"), 20)[0]["level"] == "error"
    assert readyz(late)["status"] == "degraded"


def test_the_admin_port_wants_its_token(launch: Launch, policy: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    remote = ["--admin", "0.0.0.0:0", "--admin-allow-remote", "--admin-token-file", str(tokens)]
    server = launch("--policy", str(policy), *remote)
    base = server.admin.replace("0.0.0.0", "127.0.0.1")
    for path in ("/", "/metrics", "/policy", "/top", "/nowhere", "/healthz/../metrics"):
        answer = httpx.get(f"{base}{path}")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="ratelimitd"'
    assert httpx.delete(f"{base}/keys?limit=login&key=a").status_code == 401
    for wrong in ("Bearer wrong", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer \xff"):
        answer = httpx.get(f"{base}/readyz", headers={"authorization": wrong.encode("latin-1")})  # type: ignore[dict-item]
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert httpx.get(f"{base}/metrics", headers={"authorization": f"Basic {TOKEN}"}).status_code == 401
    assert httpx.get(f"{base}/healthz").status_code == 200
    assert httpx.get(f"{base}/readyz").json() == {"status": "ready"}
    known = {"authorization": f"bearer {TOKEN}"}
    assert "policy" in httpx.get(f"{base}/readyz", headers=known).json()
    assert httpx.get(f"{base}/metrics", headers=known).status_code == 200
    # By a service's name, too: who has the token is no page in somebody's browser.
    assert httpx.delete(f"{base}/keys?limit=login&key=a", headers={**known, "host": "rl.svc"}).status_code == 200
    # Tokens are replaced without a restart; a file that is spoilt changes nothing.
    tokens.write_text("short\n")
    assert httpx.get(f"{base}/metrics", headers=known).status_code == 200
    tokens.write_text(f"{'f' * 32}\n{'e' * 32}\n")
    assert httpx.get(f"{base}/metrics", headers=known).status_code == 401
    assert httpx.get(f"{base}/metrics", headers={"authorization": f"Bearer {'e' * 32}"}).status_code == 200


def test_commands_show_the_token(launch: Launch, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    server = launch("--policy", str(policy), "--admin-token-file", str(tmp_path / "tokens"))
    port = server.admin.removeprefix("http://")

    command = [sys.executable, "-m", "ratelimitd", "bans", "--admin", port]
    without = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert without.returncode == 1
    assert "needs a token" in without.stderr
    environ = {**os.environ, "RATELIMITD_ADMIN_TOKEN_FILE": str(tmp_path / "tokens")}
    for extra, env in ((["--admin-token-file", str(tmp_path / "tokens")], None), ([], environ)):
        done = subprocess.run([*command, *extra], capture_output=True, text=True, timeout=20, check=True, env=env)
        assert "nobody is banned" in done.stdout


def test_the_socket_of_the_admin_port(launch: Launch, policy: Path, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    server = launch("--policy", str(policy), "--admin", f"unix:{path}?mode=0660&group={os.getegid()}")
    server.ready()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://localhost/healthz").status_code == 200
    assert server.stop() == 0
    assert not path.exists()
