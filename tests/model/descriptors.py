"""What envoyproxy/ratelimit answers, by its own rules and as plainly as can be: facts first, speed never.

A configuration is the data of its YAML file. Counters are kept by entries and by the window that they fall into.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

DAY = 86_400
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": DAY, "week": 7 * DAY, "month": 30 * DAY, "year": 365 * DAY}
MOST = 2**32 - 1

Node = dict[str, Any]
Entries = list[tuple[str, str]]


@dataclass
class Asked:
    """One descriptor of a call. `limit`: (requests, unit) that it brings along."""

    entries: Entries
    hits: int | None = None
    limit: tuple[int, str] | None = None
    refund: bool = False


@dataclass
class Status:
    over: bool = False
    limit: tuple[int, str, str] | None = None  # requests, unit, name
    remaining: int = 0
    reset: int = 0


@dataclass
class Found:
    """A limit that applies, and what its counter is kept by."""

    requests: int
    unit: str
    key: tuple[Any, ...]
    name: str = ""
    unlimited: bool = False
    shadow: bool = False
    quota: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    replaces: list[str] = field(default_factory=list)


class Limiter:
    def __init__(self, *configurations: Node, shadow: bool = False) -> None:
        self.domains = {c["domain"]: c.get("descriptors") or [] for c in configurations}
        self.shadow = shadow
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def ask(
        self, domain: str, asked: list[Asked], now: float, request_hits: int = 0
    ) -> tuple[bool, list[Status], Node]:
        """(over the limit, statuses, metadata)."""
        found = [self.find(domain, one) for one in asked]
        replaced = {name for f in found if f is not None for name in f.replaces}
        statuses = [Status() for _ in asked]
        objects: dict[int, bool] = {}
        # What is given back is given back after the others were counted.
        for at in sorted(range(len(asked)), key=lambda at: asked[at].refund):
            limit, one = found[at], asked[at]
            if limit is not None and limit.unlimited:
                statuses[at], objects[at] = Status(remaining=MOST), False
            elif limit is not None and not (limit.name and limit.name in replaced):
                hits = max(request_hits, 1) if one.hits is None else one.hits
                statuses[at], objects[at] = self.count(limit, hits, one.refund, now)
        metadata: Node = {}
        over, quotas = False, []
        for at, objected in sorted(objects.items()):
            limit = found[at]
            assert limit is not None
            if limit.quota and not objected:
                metadata = {**limit.metadata, **metadata}  # the first counts most
            if limit.quota:
                quotas.append(objected and not limit.shadow)
            over |= objected and not limit.quota and not limit.shadow
        over |= bool(quotas) and all(quotas)
        return over and not self.shadow, statuses, metadata

    def count(self, limit: Found, hits: int, refund: bool, now: float) -> tuple[Status, bool]:
        """(its status, is the limit over, though it may only be watched?)"""
        seconds = SECONDS[limit.unit]
        key = (*limit.key, limit.unit, int(now) // seconds)
        self.counts[key] = max(0, self.counts[key] - hits) if refund else min(self.counts[key] + hits, MOST)
        over = self.counts[key] > limit.requests and not refund
        remaining = max(0, limit.requests - self.counts[key])
        reset = seconds - int(now) % seconds
        return Status(over and not limit.shadow, (limit.requests, limit.unit, limit.name), remaining, reset), over

    def find(self, domain: str, asked: Asked) -> Found | None:
        if domain not in self.domains:
            return None
        if asked.limit is not None:
            return Found(*asked.limit, key=(domain, "brought", *asked.entries))
        level, kept, node = self.domains[domain], [], None
        for key, value in asked.entries:
            node = pick(level, key, value)
            if node is None:
                return None
            shared = node.get("share_threshold") and "*" in (node.get("value") or "")
            kept.append((key, node["value"] if shared else value))
            level = node.get("descriptors") or []
        if node is None or node.get("rate_limit") is None:
            return None
        limit = node["rate_limit"]
        return Found(
            limit.get("requests_per_unit", 0),
            limit.get("unit", "minute"),
            (domain, "tree", *kept),
            limit.get("name") or "",
            bool(limit.get("unlimited")),
            bool(node.get("shadow_mode")),
            bool(node.get("quota_mode")),
            node.get("metadata") or {},
            [item["name"] for item in limit.get("replaces") or []],
        )


def pick(level: list[Node], key: str, value: str) -> Node | None:
    """The exact value, then the patterns as they stand, then the key alone."""
    mine = [node for node in level if node["key"] == key]
    for node in mine:
        given = node.get("value") or ""
        if given and "*" not in given and given == value:
            return node
    for node in mine:
        given = node.get("value") or ""
        if "*" in given and re.fullmatch(".*".join(map(re.escape, given.split("*"))), value, re.DOTALL):
            return node
    return next((node for node in mine if not node.get("value")), None)
