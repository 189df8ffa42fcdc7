"""SIGTERM while clients are calling."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen

import grpc
import httpx
import pytest

from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs

from .conftest import listening
from .envoy_bootstrap import bootstrap
from .serving import ratelimitd, upstream

pytestmark = pytest.mark.e2e

CALLERS = 8
POLICY = "version: 1\ndomain: a\nlimits:\n  ip: {key: client.ip, limit: 4000000000, window: 1m}\n"


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
    policy.write_text(POLICY)
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

    with ratelimitd(policy, log) as (process, port):
        asyncio.run(run(f"127.0.0.1:{port}", signal.SIGTERM))
        assert process.wait(10) == 0
    assert '"cut_connections":0' in log.read_text()


async def ask_throughout(url: str, leaving: Popen[bytes]) -> set[int]:
    """Every status that clients of Envoy see before, while and after a server behind it leaves."""
    statuses: list[int] = []
    done = asyncio.Event()

    async def ask(client: httpx.AsyncClient) -> None:
        while not done.is_set():
            statuses.append((await client.get("/")).status_code)

    async def until(count: int) -> None:
        while len(statuses) < count:
            await asyncio.sleep(0.01)

    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        asking = asyncio.gather(*(ask(client) for _ in range(CALLERS)))
        await until(50)
        leaving.send_signal(signal.SIGTERM)
        while leaving.poll() is None:
            await asyncio.sleep(0.01)
        await until(len(statuses) + 50)
        done.set()
        await asking
    return set(statuses)


def test_behind_envoy_a_server_leaves_and_connections_age_unseen(executable: str, tmp_path: Path) -> None:
    """Health says NOT_SERVING, Envoy turns to the other server, GOAWAY ends what is left: no request fails."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    options = ["--drain-delay-seconds", "1", "--max-connection-age-seconds", "0.3"]
    with ExitStack() as stack:
        servers = [stack.enter_context(ratelimitd(policy, tmp_path / f"log{n}", *options)) for n in range(2)]
        ports = [port for _, port in servers]
        port = stack.enter_context(upstream())
        made = bootstrap(ratelimitd=ports, upstream=port, refused=1, silent=1, access_log=tmp_path / "access")
        listeners = stack.enter_context(listening(executable, made, tmp_path))
        statuses = asyncio.run(ask_throughout(f"http://127.0.0.1:{listeners['plain']}", servers[0][0]))
        assert statuses == {200}
        assert servers[0][0].returncode == 0
