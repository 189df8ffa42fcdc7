"""The store is lost to two nodes: what each limit does then, and that coming back lets no burst through."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from ratelimitd.client.request import Request
from tests.e2e.serving import eventually

from . import servers
from .proxy import Proxy, proxy

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("losing")]

LIMIT = 100
BRIEF = 200  # granted in BRIEF_SECONDS
BRIEF_SECONDS = 4
POLICY = "version: 1\ndomain: shop\nlimits:\n" + "".join(
    f"  {name}: {{match: {{path: /{name}}}, key: client.ip, limit: {limit}, window: {window}, {more}}}\n"
    for name, limit, window, more in (
        ("local", LIMIT, "1h", "on_store_loss: local"),
        ("share", LIMIT, "1h", "on_store_loss: share"),
        ("deny", LIMIT, "1h", "on_store_loss: deny"),
        ("allow", LIMIT, "1h", "on_store_loss: allow"),
        ("leased", LIMIT, "1h", "algorithm: fixed_window, consistency: leased, on_store_loss: deny"),
        ("brief", BRIEF, f"{BRIEF_SECONDS}s", "algorithm: fixed_window, consistency: leased, on_store_loss: deny"),
    )
)
FAULTS = ("killed", "hangs", "cut off")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Redis]:
    with servers.single(tmp_path_factory.mktemp("redis")) as made:
        yield made


@pytest.fixture(scope="module")
def between(store: servers.Redis) -> Iterator[Proxy]:
    with proxy(store.port) as made:
        yield made


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def nodes(between: Proxy, policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[servers.Node]]:
    urls = dict.fromkeys("ab", f"redis://127.0.0.1:{between.port}")
    with servers.nodes(policy, tmp_path_factory.mktemp("nodes"), urls) as made:
        yield made


@contextmanager
def lost(store: servers.Redis, between: Proxy, nodes: list[servers.Node], fault: str) -> Iterator[None]:
    """From when the nodes have noticed. Killed, it comes back empty; what hangs or is cut off says late what it was
    told.
    """
    begin: dict[str, Callable[[], None]] = {
        "killed": store.kill,
        "hangs": lambda: store.signal(signal.SIGSTOP),
        "cut off": between.cut,
    }
    end: dict[str, Callable[[], object]] = {
        "killed": store.start,
        "hangs": lambda: store.signal(signal.SIGCONT),
        "cut off": between.mend,
    }
    begin[fault]()
    try:
        for one in nodes:
            eventually(lambda n=one: n.store()["lost_shards"] == 128, "a node that notices")
        yield
    finally:
        end[fault]()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_limit_does_what_it_says(
    store: servers.Redis, between: Proxy, nodes: list[servers.Node], fault: str
) -> None:
    ip = f"203.0.113.{FAULTS.index(fault) + 1}"
    a, b = (one.wait_for_store(2) for one in nodes)
    names = ("local", "share", "deny", "allow")

    def ask(one: servers.Node, count: int) -> dict[str, int]:
        return {name: one.ask(count, path=f"/{name}", ip=ip) for name in names}

    def know(used: dict[str, int]) -> None:
        for one in (a, b):
            with suppress(AssertionError):
                eventually(lambda n=one: {name: n.used(name, ip) for name in names} == used, "a node that knows")
            assert {name: one.used(name, ip) for name in names} == used

    first, second = ask(a, 10), ask(b, 20)
    assert {*first.values(), *second.values()} == {10, 20}
    ask(a, 1)  # and hears
    know(dict.fromkeys(names, 31))
    with ExitStack() as stack:
        with lost(store, between, nodes, fault):
            of_a, of_b = ask(a, 150), ask(b, 150)
            assert of_a == {"local": 69, "share": 39, "deny": 0, "allow": 150}
            assert of_b == {"local": 69, "share": 30, "deny": 0, "allow": 150}
            verdict = a.client.check(Request(path="/deny", source_address=ip))
            assert (verdict.reason, verdict.status) == ("store_lost", 503)
            burst = stack.enter_context(asking([a, b], ip))
        for one in (a, b):
            one.wait_for_store(2)
        know({"local": 31 + 138, "share": LIMIT, "deny": 31, "allow": 31 + 138})
        assert sum(burst) == 0
    assert ask(a, 1) == ask(b, 1) == {"local": 0, "share": 0, "deny": 1, "allow": 0}


@contextmanager
def asking(nodes: list[servers.Node], ip: str) -> Iterator[list[int]]:
    """Both nodes, again and again, for what has been admitted in full: how many pass, of each two."""
    passed: list[int] = []
    stop = threading.Event()

    def ask(node: servers.Node) -> None:
        while not stop.is_set():
            passed.append(sum(node.ask(path=path, ip=ip) for path in ("/share", "/local")))

    threads = [threading.Thread(target=ask, args=(one,)) for one in nodes]
    for thread in threads:
        thread.start()
    try:
        yield passed
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("fault", ["hangs", "cut off"])
def test_grants_are_spent_and_no_more(
    store: servers.Redis, between: Proxy, nodes: list[servers.Node], fault: str
) -> None:
    """What is granted and not spent may be spent without the store. All of it together is the limit."""
    ip = f"203.0.113.{FAULTS.index(fault) + 11}"
    a, b = (one.wait_for_store(2) for one in nodes)

    def ask() -> int:
        return sum(one.ask(path="/leased", ip=ip) for one in (a, b))

    passed = 0
    while passed < LIMIT // 4:
        passed += ask()
    with lost(store, between, nodes, fault):
        passed += sum(ask() for _ in range(LIMIT))
        verdict = a.client.check(Request(path="/leased", source_address=ip))
        assert verdict.reason == "store_lost"
    for one in (a, b):
        one.wait_for_store(2)

    def rest() -> bool:
        nonlocal passed
        passed += ask()
        return passed >= LIMIT * 0.97

    eventually(rest, "what is left passes")
    passed += sum(ask() for _ in range(LIMIT))
    assert passed <= LIMIT


def brief(node: servers.Node, ip: str, until: float) -> int:
    """How many pass before then."""
    passed = 0
    while time.time() < until:
        passed += node.ask(path="/brief", ip=ip)
        time.sleep(0.001)
    return passed


def window() -> float:
    """When a window ends that has most of its time left. It is not at its very beginning: clocks differ a little."""

    def well() -> bool:
        return 0.3 < time.time() % BRIEF_SECONDS < 1

    eventually(well, "a window", BRIEF_SECONDS + 1)
    return (time.time() // BRIEF_SECONDS + 1) * BRIEF_SECONDS


def test_grants_go_back_when_nobody_asks(nodes: list[servers.Node]) -> None:
    ip = "203.0.113.21"
    a, b = (one.wait_for_store(2) for one in nodes)
    end = window()
    first = eventually(lambda: a.ask(path="/brief", ip=ip) or None, "a is granted some")
    passed = first + brief(b, ip, end - 0.3)
    assert BRIEF * 0.97 <= passed <= BRIEF


def test_what_a_dead_node_held_is_free_again_with_the_next_window(
    between: Proxy, nodes: list[servers.Node], policy: Path, tmp_path: Path
) -> None:
    """Until then it counts as spent: nobody can know better. It is what a node is granted in advance."""
    ip = "203.0.113.22"
    b = nodes[1].wait_for_store(2)
    with servers.node(policy, tmp_path / "dying", f"redis://127.0.0.1:{between.port}") as dying:
        dying.wait_for_store(3)
        end = window()
        passed = eventually(lambda: dying.ask(path="/brief", ip=ip) or None, "it is granted some")
        dying.process.kill()
        passed += brief(b, ip, end - 0.3)
        assert BRIEF * 0.75 <= passed <= BRIEF
    end = window()
    passed = brief(b, ip, end - 0.3)
    assert BRIEF * 0.97 <= passed <= BRIEF
