"""What rules keep between requests belongs to the engine: to all its workers, and beyond a swap."""

from __future__ import annotations

from typing import Any

import grpc

from ratelimitd._engine import Engine
from ratelimitd.policy.plan import Client, Plan, Profile, Scan, ScanMode
from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

from .plans import SECOND, START, cidr, plan, request

COUNT = """
SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.seen=+1,expirevar:ip.seen=60"
SecRule IP:seen "@gt 3" "id:2,phase:1,deny,status:429"
"""
SEPARATE = 'SecAction "id:3,phase:1,nolog,pass"'


def counting(rules: str = COUNT, name: bytes = b"shop", **changes: Any) -> Plan:
    scan = Scan(mode=ScanMode.BLOCK, profiles=(Profile(b"p", compile_rules(parse(rules.encode()))),))
    return plan(name=name, scan=scan, **changes)


def decided(target: Engine, at: int = 0, **asked: Any) -> str:
    return str(target.check(request(**asked), now_ns=START + at * SECOND)["decision"])


def test_counts_outlive_a_swap_and_end_in_time() -> None:
    target = Engine(max_keys=1000)
    target.swap(counting())
    assert [decided(target) for _ in range(3)] == ["allow"] * 3
    target.swap(counting(COUNT + SEPARATE))
    assert decided(target) == "deny"
    assert decided(target, at=59) == "deny"
    assert decided(target, at=200) == "allow"
    stats = target.stats()["collections"]
    assert (stats["records"], stats["evicted"]) == (1, 0)
    assert stats["max_records"] >= 1000 // 16


def test_domains_are_apart() -> None:
    target = Engine(max_keys=1000)
    domains = counting().domains + counting(name=b"blog").domains
    target.swap(Plan(domains))
    assert [decided(target, domain="shop") for _ in range(4)] == ["allow"] * 3 + ["deny"]
    assert decided(target, domain="blog") == "allow"


def test_the_client_is_the_policys() -> None:
    """Behind a proxy that the policy trusts REMOTE_ADDR is who the proxy says, or all its clients would be one."""
    target = Engine(max_keys=1000)
    target.swap(counting(client=Client(trusted=(cidr("10.0.0.0/8"),))))

    def by(client: str) -> str:
        return decided(target, source_address="10.0.0.1", headers=[("x-forwarded-for", client)])

    assert [by("198.51.100.1") for _ in range(4)] == ["allow"] * 3 + ["deny"]
    assert by("198.51.100.2") == "allow"


def test_a_dry_run_and_a_trace_count_nothing() -> None:
    target = Engine(max_keys=1000)
    target.swap(counting())
    for _ in range(5):
        target.check(request(), now_ns=START)
    before = target.stats()["collections"]["records"]
    for _ in range(5):
        decided(target, dry_run=True, source_address="198.51.100.1")
        target.trace(request(source_address="198.51.100.2"))
    assert target.stats()["collections"]["records"] == before == 1


def test_workers_count_together() -> None:
    target = Engine(workers=3, max_keys=1000)
    target.swap(counting())
    address = target.listen("127.0.0.1:0")
    target.start()
    try:
        # A channel of its own pool has a connection of its own, and connections are dealt to the workers.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(address, options=options) for _ in range(6)]
        asked = pb.CheckRequest(domain="shop", path="/", source_address="203.0.113.7")
        verdicts = [stubs.RateLimitServiceStub(channel).Check(asked, timeout=5).decision for channel in 2 * channels]
        assert verdicts == [pb.DECISION_ALLOW] * 3 + [pb.DECISION_DENY] * 9
        assert sum(count > 0 for count in target.stats()["server"]["connections_by_worker"]) > 1
        for channel in channels:
            channel.close()
    finally:
        target.stop()
