"""The engine behind its sockets: real gRPC clients, policies swapped under load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from ratelimitd._engine import Engine
from ratelimitd.policy.plan import Rule, ScanMode, Target, TargetRef
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs
from tests.net.google_rpc import details_of

from .plans import limit, plan, scan

RULES = tuple(Rule(b"r%d" % n, (b"attack%d" % n,), (TargetRef(Target.ARGS),), score=5) for n in range(5))


@pytest.fixture
def target() -> Iterator[Engine]:
    engine = Engine(workers=2, max_keys=1000)
    yield engine
    engine.stop()


def test_without_a_policy_a_call_fails_and_is_counted_as_shed(target: Engine) -> None:
    address = target.listen("127.0.0.1:0")
    target.start()
    with grpc.insecure_channel(address) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        calls = [
            lambda: stub.Check(pb.CheckRequest(path="/"), timeout=5),
            lambda: stub.CheckBatch(pb.CheckBatchRequest(requests=[pb.CheckRequest(path="/")] * 3), timeout=5),
        ]
        for call in calls:
            with pytest.raises(grpc.RpcError) as failed:
                call()
            assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert details_of(failed.value)["RetryInfo"].retry_delay.ToTimedelta() == timedelta(seconds=1)
    assert target.stats()["server"]["shed"] == 2


def test_swaps_under_load_fail_no_call_and_mix_no_policies(target: Engine) -> None:
    """Every answer is one policy's: its limit and its scan mode belong together."""
    policies = [
        plan(limit("a", 2**31), scan=scan(ScanMode.BLOCK, *RULES)),
        plan(limit("b", 2**31), scan=scan(ScanMode.DETECT, *RULES[:3])),
    ]
    target.swap(policies[0])
    address = target.listen("127.0.0.1:0")
    target.start()
    done = threading.Event()
    seen: set[tuple[str, int]] = set()
    faults: list[BaseException] = []

    def call() -> None:
        try:
            with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub = stubs.RateLimitServiceStub(channel)
                while not done.is_set():
                    answer = stub.Check(pb.CheckRequest(path="/?x=attack1"), timeout=10)
                    seen.add((answer.limits[0].name, answer.decision))
        except BaseException as fault:
            faults.append(fault)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for turn in range(60):
        target.swap(policies[turn % 2])
    done.set()
    for caller in callers:
        caller.join()
    assert not faults
    assert seen <= {("a", pb.DECISION_DENY), ("b", pb.DECISION_ALLOW)}


def test_committed_memory_is_there_before_the_first_check() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    engine = Engine(max_keys=1_000_000)
    before = resident()
    engine.commit()
    assert resident() - before > 64_000_000
