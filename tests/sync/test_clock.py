"""A node whose clock is wrong, and is set: it counts by the store's."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from tests.e2e.serving import eventually

from . import servers
from .load import POLICY, audit, load

pytestmark = pytest.mark.e2e

DAY_NS = 86_400 * 10**9
SAID = "this machine's clock was set"


class Clock:
    """What a node takes for the real time is this many nanoseconds ahead of it."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self.set(0)
        library = directory / "clock.so"
        source = Path(__file__).with_name("clock.cc")
        subprocess.run(["g++", "-std=c++20", "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "TEST_CLOCK": str(self._file)}

    def set(self, ahead_ns: int) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("<q", ahead_ns))


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def test_a_clock_is_days_off_and_is_set(
    store: servers.Redis, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of a day: by its own clock, the node would count in others than its peer."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    url = f"redis://{store.name}"
    with servers.node(policy, tmp_path / "b", url) as b, monkeypatch.context() as patched:
        for name, value in clock.environment.items():
            patched.setenv(name, value)
        clock.set(3 * DAY_NS)
        with servers.node(policy, tmp_path / "a", url) as a:
            a.wait_for_store(2)
            offset_ns = a.metric("ratelimitd_store_clock_offset_seconds") * 1e9
            assert offset_ns == pytest.approx(-3 * DAY_NS, abs=10**9)
            with load([a, b], 1) as asked:
                servers.flushed(a, b)
            audit([a, b], asked.sent)
            with load([a, b], 2) as asked:
                asked.fault()
                clock.set(3 * DAY_NS + 8 * 10**8)  # under load, by less than a second
                eventually(lambda: len(a.events(SAID)) == 1, "a noticed")
            audit([a, b], asked.sent)
            clock.set(-DAY_NS)
            eventually(lambda: len(a.events(SAID)) == 2, "a noticed")
            with load([a, b], 3) as asked:
                servers.flushed(a, b)
            audit([a, b], asked.sent)
