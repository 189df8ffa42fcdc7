"""Asks the DNS what rules want to know of addresses (@rbl), so that no check waits for it.

Workers leave questions with the engine and go on; this takes them, asks, and gives the answers back for as long as
they hold: an answer's TTL, the negative TTL of the zone (RFC 2308), half a minute for a failure. A blocklist that does
not answer has nobody listed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ratelimitd.errors import SettingsError

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

    from ratelimitd.log import Logger

POLL_SECONDS = 0.02
IDLE_SECONDS = 0.25  # between two looks when nobody has asked for QUIET_SECONDS: perhaps no rule does
QUIET_SECONDS = 60.0
AT_ONCE = 64  # questions in flight; the others wait in the engine, which bounds them
LIFETIME_SECONDS = 4.0  # of a question, over all servers and tries
TRY_SECONDS = 1.5
LEAST_SECONDS, MOST_SECONDS = 60, 86_400  # an answer holds
MOST_NEGATIVE_SECONDS = 3_600
FAILED_SECONDS = 30
WARNING_SECONDS = 60  # one line at most in so long
HONEYPOT = b"httpbl.org"

LISTED = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782
REFUSED = ipaddress.ip_network("127.255.255.0/24")  # what blocklists answer to who may not ask them


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name, for `seconds`. address: 0 when it is not listed. fault: why nobody knows."""

    address: int
    seconds: float
    fault: str = ""


class Questions(Protocol):
    """What is needed of the engine."""

    def questions(self, limit: int) -> list[tuple[bytes, bytes, bytes]]: ...
    def answer(self, digest: bytes, address: int, seconds: float, *, failed: bool = False) -> None: ...


def server_of(text: str) -> tuple[str, int]:
    """`192.0.2.53`, `192.0.2.53:5353`, `[2001:db8::53]:53`. Raises SettingsError."""
    host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "53")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise SettingsError(f"--dns {text}: not ADDRESS or ADDRESS:PORT")
    return host, number


def resolver_of(server: str) -> Resolver:
    """server: "" for the system's. Raises DNSException: the system names none."""
    from dns.asyncresolver import Resolver

    made = Resolver(configure=not server)
    if server:
        host, port = server_of(server)
        made.nameservers, made.port = [host], port
    made.timeout, made.lifetime = TRY_SECONDS, LIFETIME_SECONDS
    return made


def judged(addresses: list[str], service: bytes, ttl: float) -> Answer:
    """What addresses say: 127.0.0.0/8 lists a name. Others come from a server that answers everything."""
    found = [ipaddress.IPv4Address(text) for text in sorted(addresses)]
    honeypot = HONEYPOT in service
    listed = [a for a in found if a in LISTED and (honeypot or a not in REFUSED)]
    if listed:
        return Answer(int(listed[0]), min(max(ttl, LEAST_SECONDS), MOST_SECONDS))
    return Answer(0, FAILED_SECONDS, f"answered {found[0]}" if found else "answered nothing")


async def asked(resolver: Resolver, name: bytes, service: bytes) -> Answer:
    """What the DNS says of a name. Never raises for what comes from the network."""
    from dns.exception import DNSException
    from dns.rdatatype import SOA
    from dns.resolver import NXDOMAIN, NoAnswer

    try:
        found = await resolver.resolve(name.decode("ascii") + ".", "A", search=False)
        return judged([record.address for record in found], service, found.rrset.ttl if found.rrset else 0)
    except (NXDOMAIN, NoAnswer) as error:
        there = isinstance(error, NoAnswer)
        replies = [error.kwargs["response"]] if there else list(error.kwargs["responses"].values())
        zones = [rrset for reply in replies for rrset in reply.authority if rrset.rdtype == SOA]
        seconds = min((min(zone.ttl, zone[0].minimum) for zone in zones), default=MOST_NEGATIVE_SECONDS)
        return Answer(0, min(max(seconds, LEAST_SECONDS), MOST_NEGATIVE_SECONDS))
    except (DNSException, OSError, ValueError) as error:
        return Answer(0, FAILED_SECONDS, str(error) or type(error).__name__)


class Blocklists:
    """Owns the questions that are in flight."""

    def __init__(self, engine: Questions, log: Logger, server: str) -> None:
        """`server`: see server_of; "" is the system's. Raises SettingsError."""
        if server:
            server_of(server)
        self._engine = engine
        self._log = log
        self._server = server
        self._resolver: Resolver | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._warned_at = float("-inf")
        self._asked_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self.look()
                quiet = time.monotonic() - self._asked_at > QUIET_SECONDS
                await asyncio.sleep(IDLE_SECONDS if quiet else POLL_SECONDS)
        finally:
            for task in self._running:
                task.cancel()

    def look(self) -> None:
        """Takes as many questions as may be in flight."""
        free = AT_ONCE - len(self._running)
        for digest, name, service in self._engine.questions(free) if free > 0 else ():
            self._asked_at = time.monotonic()
            task = asyncio.create_task(self._answer(digest, name, service))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _answer(self, digest: bytes, name: bytes, service: bytes) -> None:
        answer = await self._asked(name, service)
        if answer.fault:
            self._warn(service, answer.fault if HONEYPOT not in service else "no answer")  # no word of the key
        self._engine.answer(digest, answer.address, answer.seconds, failed=bool(answer.fault))

    async def _asked(self, name: bytes, service: bytes) -> Answer:
        from dns.exception import DNSException

        try:
            self._resolver = self._resolver or resolver_of(self._server)
        except (DNSException, OSError) as error:
            return Answer(0, FAILED_SECONDS, f"no DNS server: {error}")
        return await asked(self._resolver, name, service)

    def _warn(self, service: bytes, fault: str) -> None:
        now = time.monotonic()
        if now - self._warned_at >= WARNING_SECONDS:
            self._warned_at = now
            self._log.warning(
                "a blocklist does not answer", blocklist=service.decode("ascii", "replace"), because=fault
            )
