"""TLS on the data port: who gets in, what is spoken, and what becomes of everybody else."""

from __future__ import annotations

import random
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from http2_peer import ABUSE, PREFACE, dial, wait_for
from ratelimitd._ext.net.probe import Server

from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs
from tests.certificates import Authority, Pair

REASONS = (  # by number
    "not_tls", "nothing_in_common", "no_certificate", "unknown_ca", "expired", "name", "bad_certificate",
    "refused_by_peer", "timeout", "gone", "protocol_error",
)  # fmt: skip
STALL = 200  # ms
CA = Authority()
OURS = CA.issue("localhost", "127.0.0.1")
CLIENTS = Authority("authority of clients")
EDGE = CLIENTS.issue("edge.example.com", "spiffe://prod/edge/a", client=True)
ASKED = b"X-Original-Method: GET\r\nX-Original-URI: /a\r\nX-Forwarded-For: 203.0.113.7\r\n"
AUTH = b"GET /auth HTTP/1.1\r\nHost: x\r\n" + ASKED + b"\r\n"

ServeTls = Callable[..., tuple[Server, str]]


@pytest.fixture
def serve_tls() -> Iterator[ServeTls]:
    """`serve_tls(client_ca=, names=, **options)`: a server that speaks TLS alone, and its address."""
    servers = []

    def start(client_ca: bytes = b"", names: bytes = b"", pair: Pair = OURS, **options: Any) -> tuple[Server, str]:
        server = Server(
            stall_timeout_ms=STALL if "stall_timeout_ms" not in options else options.pop("stall_timeout_ms")
        )
        servers.append(server)
        server.set_tls(pair.certificate, pair.key, client_ca, names)
        address = server.listen_tls("127.0.0.1:0")
        server.start()
        return server, address

    yield start
    for server in servers:
        server.stop()
        assert server.connections() == 0
        assert server.violations() == 0


def context(*protocols: str, client: Pair | None = None, directory: Path | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=CA.pem.decode())
    if protocols:
        made.set_alpn_protocols(protocols)
    if client:
        assert directory
        made.load_cert_chain(*client.write(directory, "client"))
    return made


def connected(address: str, made: ssl.SSLContext, **options: Any) -> ssl.SSLSocket:
    return made.wrap_socket(dial(address, 5), server_hostname="localhost", suppress_ragged_eofs=False, **options)


def credentials(client: Pair | None = None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(CA.pem, client and client.key, client and client.certificate)


def ask(address: str, client: Pair | None = None, path: str = "/a") -> int:
    """The status of one check, over a connection of its own."""
    with grpc.secure_channel(address, credentials(client)) as channel:
        return int(stubs.RateLimitServiceStub(channel).Check(pb.CheckRequest(path=path), timeout=5).status)


def failures(server: Server) -> dict[str, int]:
    return {name: n for name, n in zip(REASONS, server.stats()["tls_failures"], strict=True) if n}


def heard(sock: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    out = b""
    while data := sock.recv(1 << 16):
        out += data
    return out


def test_grpc_over_tls(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    with grpc.secure_channel(address, credentials()) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        assert [stub.Check(pb.CheckRequest(path=p), timeout=5).status for p in ("/a", "/deny", "/a")] == [200, 429, 200]
    stats = server.stats()
    assert (stats["tls_full"], stats["calls"][1], server.checks()) == (1, 3, 3)
    wait_for(lambda: sum(server.stats()["latency"]) == 3)  # added when the answer has been written
    assert not failures(server)


def test_a_certificate_of_ours_lets_in(serve_tls: ServeTls) -> None:
    server, address = serve_tls(CLIENTS.pem, b"*.example.com")
    assert ask(address, EDGE) == 200
    assert not failures(server)


STRANGERS = {
    "no_certificate": None,
    "unknown_ca": Authority("another").issue("edge.example.com", client=True),
    "expired": CLIENTS.issue("edge.example.com", client=True, ends=-timedelta(minutes=1)),
    "name": CLIENTS.issue("edge.example.net", client=True),
    "bad_certificate": CLIENTS.issue("edge.example.com"),  # a server's
}


@pytest.mark.parametrize("reason", STRANGERS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_strangers_are_refused_by_an_alert(
    serve_tls: ServeTls, reason: str, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    server, address = serve_tls(CLIENTS.pem, b"*.example.com")
    made = context("h2", client=STRANGERS[reason], directory=tmp_path)
    made.maximum_version = made.minimum_version = version
    with pytest.raises(ssl.SSLError, match="alert"), connected(address, made) as sock:  # noqa: PT012
        sock.sendall(PREFACE)
        heard(sock)
    assert failures(server) == {reason: 1}
    (told,) = server.tls_failures()
    assert told["peer"].startswith("127.0.0.1:")
    assert told["certificate"] == (
        "" if reason == "no_certificate" else f"edge.example.{'net' if reason == 'name' else 'com'}"
    )
    assert server.checks() == 0


def test_strangers_get_no_answer_by_grpc(serve_tls: ServeTls) -> None:
    server, address = serve_tls(CLIENTS.pem, b"*.example.com")
    for client in STRANGERS.values():
        with pytest.raises(grpc.RpcError) as error:
            ask(address, client)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    assert server.checks() == 0
    assert set(failures(server)) >= set(STRANGERS)


@pytest.mark.parametrize(
    ("allowed", "borne", "let_in"),
    [
        ("edge.example.com", "edge.example.com", True),
        ("Edge.Example.com", "eDGE.example.com", True),
        ("edge.example.com", "a.edge.example.com", False),
        ("*.example.com", "edge.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "edge.example.com.evil.net", False),
        ("*.example.com", "*.example.com", False),
        ("other.net\n*.example.com", "edge.example.com", True),
        ("spiffe://prod/edge", "spiffe://prod/edge", True),
        ("spiffe://prod/edge", "spiffe://prod/edge/a", False),
        ("spiffe://prod/edge/*", "spiffe://prod/edge/a/b", True),
        ("spiffe://prod/edge/*", "spiffe://prod/edge/", False),
        ("spiffe://prod/edge/*", "spiffe://prod/edges", False),
        ("spiffe://prod/*", "spiffe://test/edge", False),
        ("edge.example.com", "spiffe://edge.example.com/", False),
    ],
)
def test_names(serve_tls: ServeTls, allowed: str, borne: str, let_in: bool) -> None:
    server, address = serve_tls(CLIENTS.pem, allowed.encode())
    client = CLIENTS.issue(borne, client=True, common_name=allowed.partition("\n")[0])
    if let_in:
        assert ask(address, client) == 200
    else:
        with pytest.raises(grpc.RpcError):
            ask(address, client)
        assert set(failures(server)) == {"name"}


@pytest.mark.parametrize(
    "name", ["", "a*.example.com", "*", "*.", "spiffe://*", "spiffe://p*d/x", "a b", "*.*.com", "://"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(OSError, match="client name"):
        Server().set_tls(OURS.certificate, OURS.key, CLIENTS.pem, name.encode() + b"\n")


def test_an_intermediate_authority(serve_tls: ServeTls) -> None:
    """Sent along by the client, or trusted by itself."""
    middle = Authority("middle", CLIENTS)
    client = middle.issue("edge.example.com", client=True)
    leaf_alone = Pair(client.certificate.replace(middle.pem, b""), client.key)
    assert ask(serve_tls(CLIENTS.pem)[1], client) == 200
    assert ask(serve_tls(middle.pem)[1], leaf_alone) == 200


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "names", "says"),
    [
        (b"", OURS.key, b"", b"", "has no certificate"),
        (b"nonsense", OURS.key, b"", b"", "has no certificate"),
        (OURS.certificate[:200], OURS.key, b"", b"", "the certificate"),
        (OURS.certificate.replace(b"M", b"N", 3), OURS.key, b"", b"", "the certificate"),
        (OURS.certificate, b"", b"", b"", "has no private key"),
        (OURS.certificate, EDGE.key, b"", b"", "does not belong"),
        (OURS.certificate, OURS.key, b"nonsense", b"", "client CA file has no certificate"),
        (OURS.certificate, OURS.key, CLIENTS.pem[:100], b"", "client CA"),
        (OURS.certificate, OURS.key, b"", b"a.example.com", "need a client CA"),
    ],
    ids=range(9),
)
def test_no_working_whole(certificate: bytes, key: bytes, client_ca: bytes, names: bytes, says: str) -> None:
    with pytest.raises(OSError, match=says):
        Server().set_tls(certificate, key, client_ca, names)


def test_no_certificate_no_start() -> None:
    server = Server()
    server.listen_tls("127.0.0.1:0")
    with pytest.raises(OSError, match="TLS needs a certificate"):
        server.start()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("offered", [(), ("http/1.1",), ("spdy/3", "http/1.1")])
def test_http1_over_tls(serve_tls: ServeTls, offered: tuple[str, ...], version: ssl.TLSVersion) -> None:
    server, address = serve_tls()
    made = context(*offered)
    made.maximum_version = made.minimum_version = version
    with connected(address, made) as sock:
        assert sock.selected_alpn_protocol() == ("http/1.1" if offered else None)
        sock.sendall(AUTH)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert sock.unwrap()  # says goodbye, and hears one
    assert server.checks() == 1


def test_h2_is_preferred_and_what_was_agreed_on_holds(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    with connected(address, context("http/1.1", "h2")) as sock:
        assert sock.selected_alpn_protocol() == "h2"
        sock.sendall(AUTH)
        assert b"HTTP/1.1" not in heard(sock)
    assert server.stats()["abuse"][ABUSE["protocol_error"]] == 1
    assert server.checks() == 0


def test_nothing_in_common(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    with pytest.raises(ssl.SSLError, match=r"(?i)alert no application protocol"):
        connected(address, context("spdy/3"))
    old = context()
    with warnings.catch_warnings(action="ignore"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        connected(address, old)
    weak = context()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA")
    with pytest.raises(ssl.SSLError, match=r"(?i)alert handshake failure"):
        connected(address, weak)
    assert failures(server) == {"nothing_in_common": 3}


def test_who_does_not_trust_us(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    with pytest.raises(ssl.SSLCertVerificationError):
        connected(address, ssl.create_default_context())
    wait_for(lambda: failures(server) == {"refused_by_peer": 1})
    assert "unknown ca" in server.tls_failures()[0]["detail"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("mutual", [False, True], ids=["", "mutual"])
def test_sessions_resume(serve_tls: ServeTls, version: ssl.TLSVersion, mutual: bool, tmp_path: Path) -> None:
    server, address = serve_tls(*([CLIENTS.pem, b"*.example.com"] if mutual else []))
    made = context("http/1.1", client=EDGE if mutual else None, directory=tmp_path)
    made.maximum_version = made.minimum_version = version
    session = None
    for _ in range(3):
        with connected(address, made, session=session) as sock:
            sock.sendall(AUTH)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
            session = sock.session
    stats = server.stats()
    assert (stats["tls_full"], stats["tls_resumed"]) == (1, 2)


def test_a_session_ends_with_its_certificate(serve_tls: ServeTls, tmp_path: Path) -> None:
    server, address = serve_tls(CLIENTS.pem)
    made = context("http/1.1", client=CLIENTS.issue(client=True, ends=timedelta(seconds=2)), directory=tmp_path)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    ended = time.time() + 2.1
    with connected(address, made) as sock:
        session = sock.session
    wait_for(lambda: time.time() > ended)
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate expired"):
        connected(address, made, session=session)
    assert failures(server) == {"expired": 1}


def test_a_session_does_not_outlive_its_authority(serve_tls: ServeTls, tmp_path: Path) -> None:
    server, address = serve_tls(CLIENTS.pem)
    made = context("http/1.1", client=EDGE, directory=tmp_path)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    with connected(address, made) as sock:
        session = sock.session
    server.set_tls(OURS.certificate, OURS.key, Authority("new clients").pem)
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown ca"):
        connected(address, made, session=session)


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "h2": PREFACE,
    "zeros": bytes(300),
    "text": b"\r\n\r\nhello",
    "high": b"\xff" * 5000,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_who_speaks_no_tls_is_told_in_plain_text(serve_tls: ServeTls, name: str) -> None:
    server, address = serve_tls()
    with closing(dial(address, 5)) as sock:
        sock.sendall(GARBAGE[name])
        sock.shutdown(socket.SHUT_WR)
        answer = heard(sock)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nthis port speaks TLS.\r\n")
    assert failures(server) == {"not_tls": 1}


def hello() -> bytes:
    """A ClientHello."""
    made, out = context("h2", "http/1.1"), ssl.MemoryBIO()
    client = made.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def test_tls_on_the_plain_port_is_told_at_once(serve: Any) -> None:
    server, address = serve()
    with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number"):
        connected(address, context())
    with closing(dial(address, 5)) as sock:
        sock.sendall(hello())
        assert b"this port does not speak TLS" in heard(sock)
    assert server.stats()["abuse"][ABUSE["protocol_error"]] == 2


@pytest.mark.parametrize("said", [0, 1, 100])
def test_a_handshake_may_take_only_so_long(serve_tls: ServeTls, said: int) -> None:
    """However it is kept up: now and then a byte does not help."""
    server, address = serve_tls()
    began = time.monotonic()
    with closing(dial(address, 5)) as sock:
        for byte in hello()[:said]:
            sock.sendall(bytes([byte]))
        while True:
            sock.settimeout(STALL / 10_000)
            try:
                if not sock.recv(100):
                    break
            except TimeoutError:
                if said:
                    sock.sendall(hello()[said : said + 1])
            except ConnectionResetError:
                break
    assert STALL / 1000 <= time.monotonic() - began < 3
    assert failures(server) == {"timeout": 1}
    assert server.stats()["abuse"][ABUSE["stalled"]] == 1


def test_who_looks_whether_the_port_is_open_is_no_failure(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    dial(address, 5).close()
    wait_for(lambda: server.stats()["connections_closed"] == 1)
    with closing(dial(address, 5)) as sock:
        sock.sendall(hello()[:50])
    wait_for(lambda: failures(server) == {"gone": 1})
    assert not server.tls_failures()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_who_leaves_at_the_sight_of_our_certificate_is_told_of(serve_tls: ServeTls, version: ssl.TLSVersion) -> None:
    """As gRPC and asyncio do when they do not trust it: without an alert."""
    server, address = serve_tls(stall_timeout_ms=5000)
    made, out = context("h2"), ssl.MemoryBIO()
    made.maximum_version = made.minimum_version = version
    with pytest.raises(ssl.SSLWantReadError):
        made.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    with closing(dial(address, 5)) as sock:
        sock.sendall(out.read())
        assert sock.recv(5)[0] == 0x16
        sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: failures(server) == {"gone": 1})
    assert [REASONS[told["reason"]] for told in server.tls_failures()] == ["gone"]


def test_hellos_with_errors(serve_tls: ServeTls) -> None:
    """What is not understood ends its own connection and no other."""
    server, address = serve_tls(stall_timeout_ms=10_000)
    rng = random.Random(7)
    whole = hello()
    with connected(address, context("http/1.1")) as bystander:
        for _ in range(200):
            broken = bytearray(whole)
            for _ in range(rng.randint(1, 8)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            if rng.random() < 0.3:
                del broken[rng.randrange(len(broken)) :]
            with closing(dial(address, 5)) as sock:
                sock.sendall(broken)
                sock.shutdown(socket.SHUT_WR)
                with suppress(ConnectionResetError):
                    heard(sock)
        bystander.sendall(AUTH)
        assert bystander.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert server.checks() == 1


class Sealed:
    """A client whose sealed bytes are in the test's hands."""

    def __init__(self, address: str, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, _, port = address.rpartition(":")
        self.socket.connect((host, int(port)))
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context("http/1.1").wrap_bio(self._in, self._out, server_hostname="localhost")

    def shake_hands(self, step: int = 1 << 16) -> None:
        while True:
            try:
                return self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send(self._out.read(), step)
                self._in.write(self.socket.recv(1 << 16))

    def seal(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._out.read()

    def send(self, sealed: bytes, step: int = 1 << 16) -> None:
        for at in range(0, len(sealed), step):
            self.socket.sendall(sealed[at : at + step])

    def read(self) -> bytes:
        while True:
            try:
                return self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self._in.write(self.socket.recv(1 << 16))


def test_records_with_errors_end_the_connection(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    client = Sealed(address)
    client.shake_hands()
    good = client.seal(AUTH)
    client.send(client.seal(b"") + good[:-1] + bytes([good[-1] ^ 1]))
    heard(client.socket)
    wait_for(lambda: server.connections() == 0)
    assert server.checks() == 0


def test_byte_by_byte(serve_tls: ServeTls) -> None:
    _, address = serve_tls(stall_timeout_ms=5000)
    client = Sealed(address)
    client.shake_hands(1)
    client.send(client.seal(AUTH), 1)
    assert client.read().startswith(b"HTTP/1.1 200 ")


def test_a_slow_reader_gets_all(serve_tls: ServeTls) -> None:
    """What the socket did not take was sealed once, and follows in order."""
    server, address = serve_tls(stall_timeout_ms=10_000)
    client, count = Sealed(address, receive_buffer=4096), 120_000
    client.shake_hands()
    client.send(client.seal(AUTH))
    one = client.read()
    sender = Thread(target=client.send, args=(client.seal(AUTH * count),))
    sender.start()
    wait_for(lambda: server.stats()["unread_bytes"] > 100_000, 10)
    answers = bytearray()
    while len(answers) < count * len(one):
        answers += client.read()
    sender.join()
    assert answers.count(b"HTTP/1.1 200 ") == count
    assert server.checks() == count + 1


def test_large_messages_and_answers(serve_tls: ServeTls) -> None:
    """Far more than a record, a read or what the socket takes."""
    server, address = serve_tls(stall_timeout_ms=5000)
    with grpc.secure_channel(address, credentials()) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        assert stub.Check(pb.CheckRequest(path="/a", body=b"x" * 900_000), timeout=5).status == 200
        batch = pb.CheckBatchRequest(requests=[pb.CheckRequest(path=f"/deny/{n}") for n in range(100)])
        calls = [stub.CheckBatch.future(batch, timeout=20) for _ in range(200)]
        assert {r.status for call in calls for r in call.result().responses} == {429}
    assert server.checks() == 20_001


def test_draining_says_goodbye(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    with connected(address, context("http/1.1")) as sock:
        sock.sendall(AUTH)
        assert sock.recv(4096)
        server.drain()
        assert sock.recv(4096) == b""  # close_notify: without one, ragged ends are errors


def test_new_certificates_are_for_new_connections(serve_tls: ServeTls) -> None:
    server, address = serve_tls()
    with connected(address, context("http/1.1")) as before:
        fresh = CA.issue("localhost")
        assert server.set_tls(fresh.certificate, fresh.key)["certificate"] == "localhost"
        with pytest.raises(OSError, match="does not belong"):
            server.set_tls(OURS.certificate, fresh.key)
        stale = CA.issue("localhost", ends=-timedelta(hours=1))
        with pytest.raises(OSError, match="has expired"):
            server.set_tls(stale.certificate, stale.key)
        with connected(address, context("http/1.1")) as after:
            assert after.getpeercert(True) == ssl.PEM_cert_to_DER_cert(fresh.certificate.decode())
            for sock in (before, after):
                sock.sendall(AUTH)
                assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_no_renegotiation(serve_tls: ServeTls) -> None:
    _, address = serve_tls()
    command = ["openssl", "s_client", "-connect", address, "-tls1_2", "-alpn", "http/1.1"]
    done = subprocess.run(command, input=b"R\n", capture_output=True, timeout=10, check=False)
    assert b"no renegotiation" in done.stderr
    assert b"ALPN protocol: http/1.1" in done.stdout


def test_new_keys_now_and_then_but_not_on_end(serve_tls: ServeTls) -> None:
    """Each costs us more than the peer."""
    server, address = serve_tls()
    command = ["openssl", "s_client", "-connect", address, "-tls1_3", "-alpn", "http/1.1"]
    pipe = subprocess.PIPE
    # Without buffers: what could not be written is not tried again when the pipe is closed.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as client:
        assert client.stdin
        assert client.stderr
        wait_for(lambda: server.stats()["tls_full"] == 1)
        count = 0
        with suppress(BrokenPipeError):
            for _ in range(60):
                client.stdin.write(b"K\n")
                while (line := client.stderr.readline()) and line != b"KEYUPDATE\n":
                    pass
                count += bool(line)
        client.kill()
    wait_for(lambda: server.stats()["abuse"][ABUSE["control_flood"]] == 1)
    assert count >= 30


def test_many_handshakes_do_not_hold_up_checks(serve_tls: ServeTls) -> None:
    _, address = serve_tls(stall_timeout_ms=5000)
    first = hello()
    with connected(address, context("http/1.1")) as sock:
        crowd = [dial(address, 5) for _ in range(100)]
        for one in crowd:
            one.sendall(first)
        sock.sendall(AUTH)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        for one in crowd:
            assert one.recv(5)[0] == 0x16  # each gets its turn
            one.close()
