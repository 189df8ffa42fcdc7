"""SIGTERM while clients are calling."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import grpc
import pytest

from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs

from .serving import running, wait_for_line

pytestmark = pytest.mark.e2e

CALLERS = 8


async def call_until_gone(address: str, answered: list[int], gone: list[grpc.StatusCode]) -> None:
    """Calls again and again over a connection of its own, until one fails."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        while not gone:
            try:
                answered.append((await stub.Check(pb.CheckRequest(path="/"), timeout=10)).decision)
            except grpc.aio.AioRpcError as error:
                gone.append(error.code())


def test_sigterm_fails_no_call_in_flight(tmp_path: Path) -> None:
    """What is called before the server has gone is answered; after it, calls find nobody, and nothing else."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\ndomain: a\nlimits:\n  ip: {key: client.ip, limit: 4000000000, window: 1m}\n")
    command = [sys.executable, "-m", "ratelimitd", "serve", "--policy", str(policy)]
    command += ["--listen", "127.0.0.1:0", "--admin", "off", "--workers", "2"]
    log = tmp_path / "log"

    async def run(address: str, stop: signal.Signals) -> None:
        answered: list[list[int]] = [[] for _ in range(CALLERS)]
        gone: list[list[grpc.StatusCode]] = [[] for _ in range(CALLERS)]
        calls = [call_until_gone(address, a, g) for a, g in zip(answered, gone, strict=True)]
        callers = asyncio.gather(*calls)
        while not all(len(a) > 20 for a in answered):
            await asyncio.sleep(0.01)
        process.send_signal(stop)
        await callers
        assert {code for codes in gone for code in codes} == {grpc.StatusCode.UNAVAILABLE}
        assert {decision for one in answered for decision in one} == {pb.DECISION_ALLOW}

    with running(command, log) as process:
        port = wait_for_line(process, log, r"ratelimitd ready: grpc 127\.0\.0\.1:(\d+)")[1]
        asyncio.run(run(f"127.0.0.1:{port}", signal.SIGTERM))
        assert process.wait(10) == 0
    assert '"cut_connections":0' in log.read_text()
