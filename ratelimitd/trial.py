"""The engine without a server: decides in process, on any clock. For `test`, `explain --request` and `check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from tempfile import TemporaryDirectory

from ratelimitd import cache
from ratelimitd._engine import Engine, searched_links
from ratelimitd.policy.cases import Checker
from ratelimitd.policy.plan import Plan
from ratelimitd.waf.program import Program

MAX_KEYS = 1 << 16
HASH_KEY = bytes(range(16))  # fixed: the same run, the same result


def built(plan: Plan, cache_dir: str | None = None) -> tuple[Engine, int]:
    """An engine that has counted nothing, and how many pattern databases it has. Raises EngineError."""
    made = Engine(workers=1, max_keys=MAX_KEYS, hash_key=HASH_KEY, sample=0, denials_per_second=0)
    databases = made.swap(plan, cache_dir=cache_dir)["databases"]
    cache.prune(cache_dir)
    return made, databases


def engine(plan: Plan, cache_dir: str | None = None) -> Engine:
    return built(plan, cache_dir)[0]


def checker(plan: Plan, cache_dir: str | None = None) -> Checker:
    made = engine(plan, cache_dir)
    return lambda request, now_ns: made.check(request, now_ns=now_ns)


def searched(program: Program) -> frozenset[int]:
    """The first links of the rules that are found by searching all fields in one pass."""
    return frozenset(searched_links(program))


@contextmanager
def checkers(plan: Plan, cache_dir: str | None = None) -> Iterator[Callable[[], Checker]]:
    """Makes fresh checkers of one plan, whose pattern databases are compiled once."""
    with nullcontext(cache_dir) if cache_dir else TemporaryDirectory(prefix="ratelimitd-") as kept:
        yield lambda: checker(plan, kept)
