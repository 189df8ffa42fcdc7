"""Three nodes, a cluster of Redis, one limit a stream, skewed traffic of four times what the limits admit.

What was admitted is judged by the definition of each algorithm: all nodes' hits are replayed, in the order of their
clocks, into one counter that knows of every hit at once. `over` is how far it ever was beyond the limit, as a share of
it, `lost` how much less was admitted than one limiter admits of the same checks. pytest -rP shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from ratelimitd._ext.limit import probe
from tests.model.table import Hit
from tests.model.window import BUCKET, FIXED, SLIDING, Rule

from . import servers
from .traffic import CLOCK_LIMIT, Answer, Stream, Traffic

pytestmark = pytest.mark.e2e

SECONDS, WARM_MS = 6.0, 1500
TRIES = 3  # a busy machine may hold a node back; not every time
CLOCKS_MS = 3  # that the nodes, whose clocks tell the times here, and the store may differ by
OFFERED = 4  # times the limit
NAMES = "abc"
NODES = len(NAMES)
SKEWS = {1000: (80, 15, 5), 5000: (60, 30, 10)}
COSTS = {1000: 2, 5000: 10}
KINDS = {
    "fixed": ("algorithm: fixed_window", (FIXED, 1)),
    "sliding": ("", (SLIDING, 1)),
    "buckets": ("buckets: 8", (SLIDING, 8)),
    "bucket": ("algorithm: token_bucket", (BUCKET, 1)),
    "leased": ("consistency: leased", (SLIDING, 1)),
    "leased-fixed": ("algorithm: fixed_window, consistency: leased", (FIXED, 1)),
}


def policy() -> str:
    lines = ["version: 1", "domain: shop", "limits:", CLOCK_LIMIT.rstrip()]
    for kind, (more, (algorithm, _)) in KINDS.items():
        for limit in SKEWS:
            size = f"rate: {limit}/s, burst: {limit}" if algorithm == BUCKET else f"limit: {limit}, window: 1s"
            text = f"{size}, {more}".rstrip(", ")
            lines.append(f"  {kind}-{limit}: {{match: {{path: /{kind}-{limit}}}, key: client.ip, {text}}}")
    return "\n".join(lines) + "\n"


STREAMS = [
    Stream(f"/{kind}-{limit}", OFFERED * limit, COSTS[limit], parts) for kind in KINDS for limit, parts in SKEWS.items()
]


@dataclass(frozen=True)
class Judgement:
    over: float
    lost: float
    per_node: list[int]

    def __str__(self) -> str:
        return f"over {100 * self.over:.2f} %, lost {100 * self.lost:.2f} %, by node {self.per_node}"


def judge(rule: Rule, answers: list[Answer], *, leased: bool) -> Judgement:
    """`over` from a while after the start on. `lost` too when leased: at first nothing is granted."""
    truth, one = probe.Table(100), probe.Table(100)
    digest = probe.hash_key(1, 2, b"key")
    steady = answers[0].now_ms + WARM_MS
    over, admitted, ideal = 0, [0] * NODES, 0
    for answer in answers:
        now, hit = answer.now_ms, Hit(digest, rule, answer.cost)
        counts = now >= steady or not leased
        if one.decide([hit], now)[0] < 0 and counts:
            ideal += answer.cost
        if answer.allowed:
            used = truth.charge([hit], now)[0][0]
            admitted[answer.node] += answer.cost * counts
            if now >= steady:
                over = max(over, used - rule.limit)
    return Judgement(over / rule.limit, 1 - sum(admitted) / ideal, admitted)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[servers.Node]]:
    directory = tmp_path_factory.mktemp("accuracy")
    file = directory / "policy.yaml"
    file.write_text(policy())
    with ExitStack() as stack:
        store = stack.enter_context(servers.cluster(directory))
        made = stack.enter_context(servers.nodes(file, directory, dict.fromkeys(NAMES, store.url)))
        for node in made:
            node.wait_for_store(NODES)
        yield made


@pytest.fixture(scope="module")
def together(nodes: list[servers.Node]) -> Traffic:
    """All limits at once."""
    return ask(nodes, STREAMS)


def ask(nodes: list[servers.Node], streams: list[Stream]) -> Traffic:
    traffic = Traffic(streams)
    traffic.run(nodes, SECONDS)
    return traffic


@pytest.mark.parametrize("limit", SKEWS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_cluster_admits_the_limit_and_a_hundredth_more_at_most(
    nodes: list[servers.Node], together: Traffic, kind: str, limit: int
) -> None:
    """Leased: nothing more. At least 97 % of what one limiter admits."""
    (algorithm, _) = how = KINDS[kind][1]
    most = 0.01
    if kind.startswith("leased"):
        most = 0 if algorithm == FIXED else CLOCKS_MS / 1000  # a sliding window's weight is a matter of the clock
    stream = next(stream for stream in STREAMS if stream.path == f"/{kind}-{limit}")
    answers = together.answers[stream.path]
    for _ in range(TRIES):
        found = judge(Rule(limit, 1000, *how), answers, leased=kind.startswith("leased"))
        print(found)
        if found.over <= most and found.lost <= 0.03:
            return
        answers = ask(nodes, [stream]).answers[stream.path]
    pytest.fail(str(found))
