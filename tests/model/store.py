"""What the store keeps and answers: the flush script, in plain Python.

For every (window_ms, parts, number, digest) a list of parts, each the absolute hits of one (node, incarnation).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

LEASE = struct.Struct("<16sHHIII")
SLIDING = -2  # parts of leases of sliding windows
RECORD = struct.Struct("<16sHHI")
REPLACE, CLEAR = 1, 2
MOST = 2**32 - 1
GRACE_MS = 60_000

Span = tuple[int, int, int]  # window_ms, parts, number
Parts = dict[tuple[int, int], int]
Group = tuple[int, int, int, bytes]


def records(group: Group) -> Iterator[tuple[bytes, int, int, int]]:
    """(digest, incarnation, flags, own)"""
    return RECORD.iter_unpack(group[3])


@dataclass
class Store:
    spans: dict[Span, dict[bytes, Parts]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))

    grants: dict[Span, dict[bytes, dict[tuple[int, int], tuple[int, int]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )

    def flush(self, node: int, groups: list[Group], now_ms: int) -> list[bytes]:
        self.expire(now_ms)
        return [self.answer(node, group) for group in groups]

    def answer(self, node: int, group: Group) -> bytes:
        fields = self.spans[group[:3]]
        out = []
        for digest, incarnation, flags, own in records(group):
            parts = fields[digest]
            if flags & CLEAR:
                parts.clear()
            elif flags & REPLACE:
                for part in [part for part in parts if part[0] == node]:
                    del parts[part]
            mine = (node, incarnation)
            if own or mine in parts:
                parts[mine] = max(own, parts.get(mine, 0))
            out.append(min(MOST, sum(hits for part, hits in parts.items() if part != mine)))
            if not parts:
                del fields[digest]
        return struct.pack(f"<{len(out)}I", *out)

    def lease(self, node: int, call: int, groups: list[Group], now_ms: int) -> list[bytes]:
        """lease.lua: what each record is granted, and all others are."""
        return [self.grant(node, call, group, now_ms) for group in groups]

    def grant(self, node: int, call: int, group: Group, now_ms: int) -> bytes:
        window_ms, parts, number, packed = group
        before, grants, after = (self.grants[window_ms, parts, at] for at in (number - 1, number, number + 1))
        left = max(0, min(window_ms, (number + 1) * window_ms - now_ms))
        out = []
        for digest, incarnation, flags, held, want, limit in LEASE.iter_unpack(packed):
            known, mine = grants[digest], (node, incarnation)
            kept = {
                part: what
                for part, what in known.items()
                if part != mine and not flags & CLEAR and not (flags & REPLACE and part[0] == node)
            }
            others = sum(amount for amount, _ in kept.values())
            amount, last = known.get(mine, (0, -1))
            if call > last:
                room = limit - others
                if parts == SLIDING:
                    old, new = (sum(amount for amount, _ in span[digest].values()) for span in (before, after))
                    room -= -(-old * left // window_ms) + new
                amount = max(held, min(want, room))
                if amount or mine in known:
                    kept[mine] = (amount, call)
                grants[digest] = kept
            out += [amount, min(MOST, others)]
        return struct.pack(f"<{len(out)}I", *out)

    def expire(self, now_ms: int) -> None:
        for span in list(self.spans):
            window_ms, parts, number = span
            if (number + 1 + parts) * window_ms // parts + GRACE_MS <= now_ms:
                del self.spans[span]

    def total(self, window_ms: int, parts: int, number: int, digest: bytes) -> int:
        return sum(self.spans.get((window_ms, parts, number), {}).get(digest, {}).values())

    def lose(self) -> None:
        self.spans.clear()
