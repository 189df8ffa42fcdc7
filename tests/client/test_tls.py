"""TLS of both clients: a limiter whose certificate is not the right one gives no verdict."""

from __future__ import annotations

import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from ratelimitd.client import CheckError, Client, HttpClient, Request
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as services

from .limiter import Limiter

KINDS = pytest.mark.parametrize("kind", ["http", "grpc"])


def certificate(directory: Path, name: str, days: int = 2) -> tuple[Path, Path]:
    """Signed by itself, for localhost."""
    key, made = directory / f"{name}.key", directory / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", str(days)]
    subprocess.run([*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return key, made


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    directory = tmp_path_factory.mktemp("keys")
    return {name: certificate(directory, name) for name in ("right", "wrong")}


class Service(services.RateLimitServiceServicer):
    def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:  # noqa: N802
        return pb.CheckResponse(decision=pb.DECISION_ALLOW, status=200)


def ask(kind: str, limiter: Limiter, presented: tuple[Path, Path], trusted: Path, on_error: Any) -> Any:
    key, made = presented
    if kind == "http":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made, key)
        limiter.server.socket = context.wrap_socket(limiter.server.socket, server_side=True)
        trust = ssl.create_default_context(cafile=str(trusted))
        return HttpClient(f"https://{limiter.http}", tls=trust, on_error=on_error).check(Request())
    server = grpc.server(ThreadPoolExecutor(1))
    services.add_RateLimitServiceServicer_to_server(Service(), server)
    own = grpc.ssl_server_credentials([(key.read_bytes(), made.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", own)
    server.start()
    try:
        credentials = grpc.ssl_channel_credentials(trusted.read_bytes())
        with Client(f"127.0.0.1:{port}", credentials=credentials, on_error=on_error) as client:
            return client.check(Request())
    finally:
        server.stop(None)


@KINDS
def test_who_shows_the_right_certificate_is_believed(kind: str, limiter: Limiter, keys: Any) -> None:
    verdict = ask(kind, limiter, keys["right"], keys["right"][1], "raise")
    assert (verdict.allowed, verdict.error) == (True, "")


@KINDS
@pytest.mark.parametrize("on_error", ["allow", "deny", "raise"])
def test_who_shows_another_is_not(kind: str, on_error: str, limiter: Limiter, keys: Any) -> None:
    if on_error == "raise":
        with pytest.raises(CheckError, match="UNAVAILABLE"):
            ask(kind, limiter, keys["wrong"], keys["right"][1], on_error)
        return
    verdict = ask(kind, limiter, keys["wrong"], keys["right"][1], on_error)
    assert verdict.allowed is (on_error == "allow")
    assert verdict.reason == "no_answer"
    if kind == "http":
        assert "certificate verify failed" in verdict.error
    assert limiter.asked == []
