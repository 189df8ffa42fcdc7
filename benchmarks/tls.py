"""What TLS costs: the same checks on the plain and on the TLS port of one server, in turns."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from .bench import Bench
from .servers import BenchError, Server


def certificate(directory: Path) -> tuple[Path, Path]:
    """One that signs itself, on P-256, and its key."""
    files = directory / "tls.pem", directory / "tls.key"
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command = ["openssl", "req", "-x509", *made, "-out", str(files[0]), "-keyout", str(files[1])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"openssl: {done.stderr}")
    return files


def tls_origin(server: Server) -> str:
    found = re.search(r" tls (127\.0\.0\.1:\d+)", server.log.read_text())
    if found is None:
        raise BenchError(f"{server.name} has no TLS port")
    return f"https://{found[1]}"


def plain_and_tls(bench: Bench) -> tuple[list[float], list[float]]:
    """Checks per CPU-second of each turn: TLS 1.3 with AES-128-GCM, 8 connections of 32 streams."""
    pem, key = certificate(bench.directory)
    extra = ("--listen-tls", "127.0.0.1:0", "--tls-cert", str(pem), "--tls-key", str(key))
    plain: list[float] = []
    sealed: list[float] = []
    with bench.start_ratelimitd("limits20", "tls", extra=extra) as server:
        origin = tls_origin(server)
        for _ in range(bench.repeats):
            plain.append(bench.h2load(server).per_cpu_second)
            sealed.append(bench.h2load(server, origin=origin).per_cpu_second)
    return plain, sealed
