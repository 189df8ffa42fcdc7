"""Questions of rules to blocklists, from a check over the DNS to the next check."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimitd import blocklists
from ratelimitd._engine import Engine
from ratelimitd.blocklists import Answer, Blocklists, asked, resolver_of, server_of
from ratelimitd.client import Client, Request
from ratelimitd.errors import SettingsError
from ratelimitd.log import configure

from .conftest import Launch
from .dns_server import Server, serving

LISTED = 127 << 24 | 2
ANSWERS = {
    "1.2.0.192.bl.example": "127.0.0.2 600",
    "2.2.0.192.bl.example": "127.0.0.2 5",
    "3.2.0.192.bl.example": "127.0.0.2 999999",
    "4.2.0.192.bl.example": "198.51.100.1",
    "5.2.0.192.bl.example": "127.255.255.254",
    "6.2.0.192.bl.example": "198.51.100.1,127.0.0.2",
    "7.2.0.192.bl.example": "nothing",
    "8.2.0.192.bl.example": "servfail",
    "9.2.0.192.bl.example": "silence",
    "10.2.0.192.bl.example": "noise",
    "key.1.2.0.192.dnsbl.httpbl.org": "127.255.255.4",
}
EXPECTED = {
    "1.2.0.192.bl.example": Answer(LISTED, 600),
    "2.2.0.192.bl.example": Answer(LISTED, 60),
    "3.2.0.192.bl.example": Answer(LISTED, 86_400),
    "4.2.0.192.bl.example": Answer(0, 30, "answered 198.51.100.1"),
    "5.2.0.192.bl.example": Answer(0, 30, "answered 127.255.255.254"),
    "6.2.0.192.bl.example": Answer(LISTED, 300),
    "7.2.0.192.bl.example": Answer(0, 120),
    "99.2.0.192.bl.example": Answer(0, 120),
    "key.1.2.0.192.dnsbl.httpbl.org": Answer(127 << 24 | 255 << 16 | 255 << 8 | 4, 300),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(ANSWERS) as made:
        yield made


def ask(server: Server, name: str, lifetime: float = 5) -> Answer:
    async def run() -> Answer:
        resolver = resolver_of(server.address)
        resolver.lifetime = lifetime
        return await asked(resolver, name.encode(), name.encode()[-16:])

    return asyncio.run(run())


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_dns_says(server: Server, name: str) -> None:
    assert ask(server, name) == EXPECTED[name]
    assert server.asked == [name]


@pytest.mark.parametrize("name", ["8.2.0.192.bl.example", "9.2.0.192.bl.example", "10.2.0.192.bl.example"])
def test_who_does_not_answer_lists_nobody(server: Server, name: str) -> None:
    began = time.monotonic()
    answer = ask(server, name, lifetime=0.5)
    assert (answer.address, answer.seconds) == (0, 30)
    assert answer.fault
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_servers(text: str, parsed: tuple[str, int]) -> None:
    assert server_of(text) == parsed


@pytest.mark.parametrize(
    "text", ["dns.example", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:x", "192.0.2.53:65536", ":53"]
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--dns"):
        Blocklists(Engine(max_keys=1024), configure("error", "json"), text)


def test_questions_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and none is lost."""

    class Many:
        left, given = 500, 0

        def questions(self, limit: int) -> list[tuple[bytes, bytes, bytes]]:
            taken = min(limit, self.left)
            self.left -= taken
            return [(b"%016d" % i, b"%d.bl.example" % i, b"bl.example") for i in range(taken)]

        def answer(self, digest: bytes, address: int, seconds: float, *, failed: bool = False) -> None:
            self.given += 1

    running = most = 0

    async def slow(*_: object) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return Answer(0, 60)

    monkeypatch.setattr(blocklists, "asked", slow)

    async def run() -> Many:
        engine = Many()
        made = Blocklists(engine, configure("error", "json"), "127.0.0.1")
        while engine.given < 500:
            made.look()
            await asyncio.sleep(0)
        return engine

    assert asyncio.run(run()).left == 0
    assert most == blocklists.AT_ONCE


POLICY = """\
version: 1
domain: shop
scan:
  mode: block
  rulesets: [{seclang: rules.conf}]
"""
RULES = 'SecRule REMOTE_ADDR "@rbl bl.example" "id:1,phase:1,deny,status:403"\n'


def test_a_served_check_waits_for_nobody(server: Server, launch: Launch, tmp_path: Path) -> None:
    """Who is listed passes until that is known; a server that is silent holds nobody up."""
    (tmp_path / "rules.conf").write_text(RULES)
    policy = tmp_path / "shop.yaml"
    policy.write_text(POLICY)
    served = launch("--policy", str(policy), "--dns", server.address)
    (address,) = served.addresses
    with Client(address, timeout=2) as client:

        def denied(source: str) -> bool:
            return not client.check(Request(source_address=source)).allowed

        assert not denied("192.0.2.1")
        served.until(lambda: denied("192.0.2.1"))
        assert not denied("192.0.2.9")
        assert not denied("192.0.2.77")
        served.until(lambda: "77.2.0.192.bl.example" in server.asked)
        assert server.asked.count("1.2.0.192.bl.example") == 1

        def metrics() -> str:
            with urllib.request.urlopen(served.admin + "/metrics", timeout=5) as answer:
                return str(answer.read().decode())

        served.until(lambda: 'ratelimitd_blocklist_lookups_total{result="not_listed"} 1.0' in metrics())
        assert 'ratelimitd_blocklist_lookups_total{result="listed"} 1.0' in metrics()
    assert served.stop() == 0
