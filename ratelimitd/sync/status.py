"""What the rest of the process may know of the cluster: for readiness, metrics and people."""

from __future__ import annotations

from dataclasses import dataclass, field

FLUSH_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(slots=True)
class Histogram:
    """Seconds, by the bounds above and one more for what is longer."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(FLUSH_BOUNDS) + 1))
    sum: float = 0.0
    bounds: tuple[float, ...] = FLUSH_BOUNDS

    def add(self, seconds: float) -> None:
        at = next((i for i, bound in enumerate(FLUSH_BOUNDS) if seconds <= bound), len(FLUSH_BOUNDS))
        self.counts[at] += 1
        self.sum += seconds


@dataclass(frozen=True, slots=True)
class MasterStatus:
    """ok: it answers. silent_seconds: since it last did."""

    name: str
    shards: int
    ok: bool
    trouble: str
    silent_seconds: float
    flush_seconds: float


@dataclass(frozen=True, slots=True)
class Status:
    """staleness_seconds: of the shard that was last heard of longest ago. nodes: that live, this one among them."""

    mode: str
    address: str
    version: str
    problem: str  # why the store as a whole cannot be used; "" when it can
    masters: tuple[MasterStatus, ...]
    nodes: tuple[str, ...]
    lost_shards: int
    staleness_seconds: float
    clock_offset_ms: float
    interval_seconds: float
    flushes: Histogram
    told: int  # bans, their ends and resets, to other nodes
    heard: int  # ... of other nodes
    errors: dict[str, int]  # by kind
    resyncs: int

    @property
    def ok(self) -> bool:
        return not self.problem and not self.lost_shards
