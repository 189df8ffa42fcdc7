"""Small plans for tests of the engine."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

from ratelimitd.policy.plan import (
    AddressList,
    Algorithm,
    Cidr,
    Condition,
    Domain,
    KeyPart,
    Limit,
    ListAction,
    Match,
    Op,
    Plan,
    Rate,
    Source,
)

CLIENT = KeyPart(Source.CLIENT_IP)
SECOND = 1_000_000_000
# A whole minute since the epoch, so that windows begin here.
START = 1_800_000_000 * SECOND


def cidr(text: str) -> Cidr:
    network = ipaddress.ip_network(text)
    if network.version == 4:
        return Cidr(b"\0" * 10 + b"\xff\xff" + network.network_address.packed, 96 + network.prefixlen)
    return Cidr(network.network_address.packed, network.prefixlen)


def path(*globs: str) -> Match:
    return Match(((Condition(Source.PATH, Op.GLOB, operands=tuple(g.encode() for g in globs)),),))


def limit(name: str, most: int = 5, window_ms: int = 60_000, **changes: Any) -> Limit:
    settings: dict[str, Any] = {
        "match": Match(),
        "key": (CLIENT,),
        "algorithm": Algorithm.FIXED_WINDOW,
        "rate": Rate(most, window_ms),
    }
    settings |= changes
    identity = hashlib.sha256(repr((name, settings["key"], settings["algorithm"])).encode()).digest()[:16]
    return Limit(name=name.encode(), identity=identity, **settings)


def address_list(name: str, action: ListAction, *cidrs: str, **changes: Any) -> AddressList:
    return AddressList(name.encode(), action, tuple(map(cidr, cidrs)), **changes)


def plan(*limits: Limit, name: bytes = b"shop", **changes: Any) -> Plan:
    return Plan((Domain(name, limits=limits, **changes),))


def request(**changes: Any) -> dict[str, Any]:
    return {"method": "GET", "path": "/a?x=1", "host": "shop.example", "source_address": "203.0.113.7", **changes}
