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
    Profile,
    Rate,
    Rule,
    Scan,
    ScanMode,
    Source,
)
from ratelimitd.policy.rules import link_of
from ratelimitd.waf.program import Disruption, Link, Operator, Program, Selector, Variable

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


def rules_program(*rules: Rule, threshold: int = 5) -> Program:
    """Short rules, and one that denies when their scores come to the threshold."""
    decides = Link(
        0,
        2,
        (Selector(Variable.TX, b"score"),),
        Operator.GE,
        argument=(b"%d" % threshold,),
        disruption=Disruption.DENY,
        log=False,
        name=b"threshold",
    )
    links = tuple(link_of(rule, b"score", 403) for rule in rules)
    return Program((*links, decides), scores=(b"score",), score=b"score")


def scan(mode: ScanMode, *rules: Rule, threshold: int = 5, routes: Any = (), **changes: Any) -> Scan:
    """changes: of the one profile."""
    return Scan(mode, routes=routes, profiles=(Profile(b"p", rules_program(*rules, threshold=threshold), **changes),))
