"""Reload: every way in which a policy changes on a disk is seen within a second, and a broken one changes nothing.

The loader here is a stand-in (a file is good unless it says "broken"); what is tested is real: files, notices, polling.
"""

from __future__ import annotations

import asyncio
import glob
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from ratelimitd import background, reload
from ratelimitd.errors import Diagnostic, EngineError, PolicyError
from ratelimitd.policy import Policy
from ratelimitd.policy.changes import Change
from ratelimitd.policy.load import policy_files
from ratelimitd.policy.plan import Plan
from ratelimitd.reload import Reloader, RuleFiles, fingerprint


def compare(before: Plan, after: Plan) -> list[Change]:
    kind = "kept" if before == after else "reset"
    return [Change(kind, "shop", "per-ip", f"{before.digest} -> {after.digest}")]


class Disk:
    """A policy path with a loader and an engine that remember. `rules`: patterns of the rule files it depends on."""

    def __init__(self, path: Path, rules: tuple[str, ...] = ()) -> None:
        self.rules = rules
        self.lines: list[dict[str, Any]] = []
        self.swapped: list[str] = []
        self.refuse_swap = False
        self.classes: list[int] = []  # the scheduling classes in which policies were prepared and published
        self.reloader = Reloader(path, self.load, self.prepare, self.publish, compare, self.log())

    def log(self) -> Any:
        def take(logger: Any, method: str, event: Any) -> Any:
            self.lines.append(dict(event))
            raise structlog.DropEvent

        return structlog.wrap_logger(None, processors=[take], wrapper_class=structlog.make_filtering_bound_logger(10))

    def load(self, path: Path) -> Policy:
        try:
            text = " ".join(file.read_text() for file in policy_files(path))
        except OSError as error:
            raise PolicyError([Diagnostic("P107", str(error))]) from None
        if "broken" in text:
            raise PolicyError([Diagnostic("P101", "it is broken"), Diagnostic("P102", "twice")])
        found = sorted(file for pattern in self.rules for file in glob.glob(pattern) if Path(file).is_file())
        rules = [Path(file).read_text() for file in found]
        if "broken" in rules:
            raise PolicyError([Diagnostic("S201", "a broken rule")], self.rules)
        return Policy(Plan(digest=" ".join([text, *rules])), (), (), (), self.rules)

    def prepare(self, plan: Plan) -> Any:
        self.classes.append(os.sched_getscheduler(0))
        if self.refuse_swap:
            raise EngineError("out of memory")
        return plan

    def publish(self, prepared: Any) -> Any:
        self.classes.append(os.sched_getscheduler(0))
        self.swapped.append(prepared.digest)
        return {
            "generation": len(self.swapped),
            "kept": [],
            "added": [],
            "removed": [],
            "databases": 0,
            "compile_ms": 0.1,
        }

    async def until(self, condition: Callable[[], bool], seconds: float = 3.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.reloader.state}"
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(path: Path, *rules: Path) -> AsyncIterator[Disk]:
    disk = Disk(path, tuple(map(str, rules)))
    disk.reloader.first()
    task = asyncio.create_task(disk.reloader.run())
    await asyncio.sleep(0)
    try:
        yield disk
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=["notices", "polling"])
def eye(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each scenario with both eyes, and with notices that never come."""
    if request.param == "polling":

        async def blind(self: Reloader) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(Reloader, "_watch", blind)
    return str(request.param)


def test_an_edit_in_place(tmp_path: Path, eye: str) -> None:
    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        async with running(path) as disk:
            path.write_text("two")
            await disk.until(lambda: disk.swapped == ["one", "two"])
            assert disk.reloader.state.changes == ("reset shop/per-ip: one -> two",)

    asyncio.run(scenario())


def test_rule_files_are_looked_at_too(tmp_path: Path, eye: str) -> None:
    """An edit, a new file, a file that goes, one that is broken and one that is mended: wherever they are."""

    async def scenario() -> None:
        path, rules = tmp_path / "p.yaml", tmp_path / "elsewhere"
        rules.mkdir()
        path.write_text("one")
        (rules / "a.conf").write_text("a")
        async with running(path, rules / "*.conf") as disk:
            (rules / "a.conf").write_text("A")
            await disk.until(lambda: disk.swapped[-1] == "one A")
            (rules / "b.conf").write_text("b")
            await disk.until(lambda: disk.swapped[-1] == "one A b")
            (rules / "b.conf").write_text("broken")
            await disk.until(lambda: not disk.reloader.state.ok)
            assert disk.swapped[-1] == "one A b"
            (rules / "b.conf").write_text("mended")
            await disk.until(lambda: disk.swapped[-1] == "one A mended")
            (rules / "b.conf").unlink()
            await disk.until(lambda: disk.swapped[-1] == "one A")

    asyncio.run(scenario())


def test_a_rule_set_behind_a_symlink_that_is_swapped(tmp_path: Path, eye: str) -> None:
    """As Kubernetes does it; nothing but the link changes."""

    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        for version in ("v1", "v2"):
            (tmp_path / version).mkdir()
            (tmp_path / version / "a.conf").write_text(version)
        (tmp_path / "now").symlink_to("v1")
        async with running(path, tmp_path / "now" / "*.conf") as disk:
            (tmp_path / "next").symlink_to("v2")
            (tmp_path / "next").replace(tmp_path / "now")
            await disk.until(lambda: disk.swapped == ["one v1", "one v2"])

    asyncio.run(scenario())


def test_rule_files_that_are_only_touched_load_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("a")
    files = RuleFiles()
    first = files.digest([str(tmp_path / "*.conf"), str(tmp_path / "none")])
    os.utime(tmp_path / "a.conf", ns=(1, 1))
    assert files.digest([str(tmp_path / "*.conf"), str(tmp_path / "none")]) == first
    (tmp_path / "none").write_text("")
    assert files.digest([str(tmp_path / "*.conf"), str(tmp_path / "none")]) != first


def test_compiling_gives_way_to_checks_and_publishing_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start nobody is waiting for an answer; later a worker on the same core may be."""
    monkeypatch.setattr(background, "FAIR_SHARE", 0.0)  # however busy the machine is

    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        async with running(path) as disk:
            path.write_text("two")
            await disk.until(lambda: disk.swapped == ["one", "two"], seconds=20)
            assert disk.classes == [os.SCHED_OTHER, os.SCHED_OTHER, os.SCHED_IDLE, os.SCHED_OTHER]

    asyncio.run(scenario())


def test_an_editors_rename_replace(tmp_path: Path, eye: str) -> None:
    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        async with running(path) as disk:
            for text in ("two", "three"):
                (tmp_path / "p.yaml.tmp").write_text(text)
                os.replace(tmp_path / "p.yaml.tmp", path)
                await disk.until(lambda text=text: disk.swapped[-1] == text)  # type: ignore[misc]

    asyncio.run(scenario())


@pytest.mark.parametrize("directory", [False, True])
def test_a_config_map_swap(tmp_path: Path, eye: str, directory: bool) -> None:
    """Kubernetes: p.yaml -> ..data/p.yaml, ..data -> ..1, and ..data is replaced by a link to ..2; then ..1 is
    removed.
    """

    def mount(name: str, text: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.yaml").write_text(text)
        (tmp_path / "..data_tmp").symlink_to(name)
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")

    async def scenario() -> None:
        mount("..1", "one")
        (tmp_path / "p.yaml").symlink_to("..data/p.yaml")
        async with running(tmp_path if directory else tmp_path / "p.yaml") as disk:
            mount("..2", "two")
            (tmp_path / "..1" / "p.yaml").unlink()
            await disk.until(lambda: disk.swapped == ["one", "two"])

    asyncio.run(scenario())


def test_a_directory_gains_and_loses_a_file(tmp_path: Path, eye: str) -> None:
    async def scenario() -> None:
        (tmp_path / "a.yaml").write_text("a")
        async with running(tmp_path) as disk:
            (tmp_path / "b.yml").write_text("b")
            (tmp_path / "notes.txt").write_text("broken")
            await disk.until(lambda: disk.swapped[-1] == "a b")
            (tmp_path / "a.yaml").unlink()
            await disk.until(lambda: disk.swapped[-1] == "b")

    asyncio.run(scenario())


def test_a_broken_file_changes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        async with running(path) as disk:
            path.write_text("broken")
            await disk.until(lambda: not disk.reloader.state.ok)
            state = disk.reloader.state
            assert disk.swapped == ["one"]
            assert state.digest == "one"
            assert [d.code for d in state.diagnostics] == ["P101", "P102"]
            assert (state.successes, state.failures) == (1, 1)
            assert [line["code"] for line in disk.lines if line["event"] == "policy refused"] == ["P101", "P102"]
            path.write_text("one")  # back to what is in force
            await disk.until(lambda: disk.reloader.state.ok)
            assert disk.reloader.state.diagnostics == ()

    asyncio.run(scenario())


def test_a_file_that_is_gone_and_an_engine_that_refuses_change_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        async with running(path) as disk:
            path.unlink()
            await disk.until(lambda: not disk.reloader.state.ok)
            assert "No such file" in str(disk.reloader.state.diagnostics[0])
            disk.refuse_swap = True
            path.write_text("two")
            await disk.until(lambda: disk.reloader.state.failures == 2)
            assert "out of memory" in str(disk.reloader.state.diagnostics[0])
            disk.refuse_swap = False
            disk.reloader.request()
            await disk.until(lambda: disk.reloader.state.ok)
            assert disk.swapped == ["one", "two"]

    asyncio.run(scenario())


def test_a_touch_loads_nothing_but_a_request_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        async with running(path) as disk:
            path.touch()
            await disk.reloader._look()
            assert disk.swapped == ["one"]
            disk.reloader.request()
            await disk.until(lambda: disk.swapped == ["one", "one"])

    asyncio.run(scenario())


def test_a_slow_writer_is_waited_for(tmp_path: Path) -> None:
    """A file that is written in pieces is read once, when it stands still."""

    async def scenario() -> None:
        path = tmp_path / "p.yaml"
        path.write_text("one")
        async with running(path) as disk:
            with path.open("w") as file:
                for piece in ("bro", "ken but", " not whole"):
                    file.write(piece)
                    file.flush()
                    await asyncio.sleep(0.03)
                file.seek(0)
                file.truncate()
                file.write("two")
            await disk.until(lambda: disk.swapped == ["one", "two"])
            assert disk.reloader.state.failures == 0

    asyncio.run(scenario())


def test_a_change_is_seen_within_a_second() -> None:
    """Without notices: a poll, then a file that is still being written. (Other tests allow for a busy machine.)"""
    assert reload.POLL_SECONDS + reload.SETTLE_STEPS * reload.SETTLE_SECONDS <= 1.0


def test_fingerprints_tell_names_contents_and_absence_apart(tmp_path: Path) -> None:
    absent = fingerprint(tmp_path / "p.yaml")
    (tmp_path / "a.yaml").write_text("b")
    (tmp_path / "ab.yaml").write_text("")
    seen = {absent, fingerprint(tmp_path)}
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "ab.yaml").write_text("b")
    seen.add(fingerprint(tmp_path))
    assert len(seen) == 3
