"""Reload: watch, load, compile, swap. The last good policy stays in force whatever happens here.

Two eyes, as either alone is blind to something: the file system's notices of the parent directory (a file that is
replaced has no watch of its own, and Kubernetes swaps a `..data` symlink beside it), and a digest of the contents
every half second (network file systems send no notices). Only a change of contents loads anything.

The files of rule sets are looked at too, those of the last attempt. They are large, so one is read again only when
its place, size or times say that it may have changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ratelimitd.background import in_background
from ratelimitd.errors import Diagnostic, EngineError, PolicyError
from ratelimitd.log import Logger
from ratelimitd.policy import Policy
from ratelimitd.policy.changes import Change
from ratelimitd.policy.load import policy_files
from ratelimitd.policy.plan import Plan
from ratelimitd.policy.refusal import refusal

if TYPE_CHECKING:
    from ratelimitd._engine import Prepared, SwapReport

POLL_SECONDS = 0.5
SETTLE_SECONDS = 0.05  # contents that still change are not read yet ...
SETTLE_STEPS = 10  # ... but after this many looks they are


@dataclass(frozen=True, slots=True)
class ReloadState:
    """What admin and metrics show of the policy in force and of the last attempt. Times are Unix seconds."""

    source: str
    digest: str = ""
    generation: int = 0
    loaded_at: float = 0.0
    attempted_at: float = 0.0
    ok: bool = True  # the last attempt
    diagnostics: tuple[Diagnostic, ...] = ()  # of the last attempt
    successes: int = 0
    failures: int = 0
    changes: tuple[str, ...] = field(default=())  # what the last good reload changed


def fingerprint(path: Path) -> str:
    """A digest of names and contents; what cannot be read has one too, so that its loss is seen as a change."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        for file in policy_files(path):
            digest.update(f"\0{file.name}\0".encode())
            digest.update(file.read_bytes())
    except (OSError, PolicyError) as error:
        digest.update(f"\0{error}".encode())
    return digest.hexdigest()


class RuleFiles:
    """A digest of files that patterns find. What is not there has one too. Used by one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], bytes]] = {}  # path -> what stat says, digest of the contents

    def digest(self, patterns: Iterable[str]) -> str:
        whole = hashlib.blake2b(digest_size=16)
        known: dict[str, tuple[tuple[int, ...], bytes]] = {}
        for pattern in patterns:
            whole.update(f"\0{pattern}\0".encode(errors="surrogateescape"))
            for path in sorted(glob.glob(pattern)):
                known[path] = self._looked_at(path)
                whole.update(os.fsencode(path) + b"\0" + known[path][1])
        self._known = known
        return whole.hexdigest()

    def changed_since(self, moment_ns: int) -> bool:
        """Has one of them changed since then (Unix time), by what the file system says?"""
        return any(max(said[-2:], default=0) >= moment_ns for said, _ in self._known.values())

    def _looked_at(self, path: str) -> tuple[tuple[int, ...], bytes]:
        try:
            found = os.stat(path)
            said = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if path in self._known and self._known[path][0] == said:
                return self._known[path]
            if not os.path.isfile(path):
                return said, b""
            with open(path, "rb") as stream:
                return said, hashlib.sha256(stream.read()).digest()
        except OSError as error:
            return (), str(error).encode()


def told(changes: list[Change]) -> tuple[str, ...]:
    """In words, without what merely stayed."""
    return tuple(str(change) for change in changes if change.kind != "kept")


class Reloader:
    """Owns which policy is in force. `load` and `prepare` may take seconds and give way to checks; `publish` does not,
    and takes a moment.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Policy],
        prepare: Callable[[Plan], Prepared],
        publish: Callable[[Prepared], SwapReport],
        compare: Callable[[Plan, Plan], list[Change]],
        log: Logger,
        beside: Callable[[], Path] | None = None,
    ) -> None:
        """`beside`: a directory that `load` reads too."""
        self.path = path
        self.state = ReloadState(source=str(path))
        self.policy: Policy | None = None
        self._load = load
        self._prepare = prepare
        self._publish = publish
        self._compare = compare
        self._log = log
        self._beside = beside
        self._seen = ("", "")  # of the policy's own files, of its rule sets
        self._watched: tuple[str, ...] = ()  # beside the policy's own files
        self._rule_files = RuleFiles()
        self._wake = asyncio.Event()
        self._forced = False

    def first(self) -> Policy:
        """Loads at start. Raises PolicyError or EngineError: without a policy there is nothing to serve."""
        seen, began = self._fingerprint(), time.time_ns()
        policy = self._load(self.path)
        self._accept(policy, self._publish(self._prepared(policy)), [])
        self._seen = self._after(seen, began)
        return policy

    def _fingerprint(self) -> tuple[str, str]:
        others = fingerprint(self._beside()) if self._beside is not None else ""
        return fingerprint(self.path) + others, self._rule_files.digest(self._watched)

    def _after(self, seen: tuple[str, str], began: int) -> tuple[str, str]:
        """What the load that began then has seen: which rule sets there are is known only now.

        What has changed meanwhile was perhaps not seen: then nothing was, and the next look loads again.
        """
        rules = self._rule_files.digest(self._watched)
        return ("", "") if self._rule_files.changed_since(began) else (seen[0], rules)

    def _prepared(self, policy: Policy) -> Prepared:
        """What the engine refuses is an error of the policy: it is told where it stands."""
        try:
            return self._prepare(policy.plan)
        except EngineError as error:
            raise PolicyError(refusal(policy.sources, error)) from error

    def request(self) -> None:
        """Reload now, changed or not (SIGHUP)."""
        self._forced = True
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
                self._wake.clear()
                await self._look()
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        """Wakes `run` on file system notices. When they cannot be had, polling has to do."""
        import watchfiles

        directories = [self.path if self.path.is_dir() else self.path.parent]
        if self._beside is not None and self._beside().is_dir():
            directories.append(self._beside())
        try:
            # A step is a wake-up, changes or not: few, for they take their time from the checks of small machines.
            async for _ in watchfiles.awatch(*directories, watch_filter=None, recursive=False, debounce=200, step=200):
                self._wake.set()
        except (OSError, RuntimeError) as error:
            self._log.warning(
                "cannot watch the policy's directory; polling only", directory=str(directories[0]), error=str(error)
            )

    async def _look(self) -> None:
        forced, self._forced = self._forced, False
        now = await asyncio.to_thread(self._fingerprint)
        if now == self._seen and not forced:
            return
        self._seen = await self._settled(now)
        before, began = self._watched, time.time_ns()
        await self.attempt()
        if self._watched != before:
            self._seen = await asyncio.to_thread(self._after, self._seen, began)

    async def _settled(self, before: tuple[str, str]) -> tuple[str, str]:
        """The fingerprint once it stands still: an editor may be in the middle of a write. Waits half a second at
        most.
        """
        for _ in range(SETTLE_STEPS):
            await asyncio.sleep(SETTLE_SECONDS)
            now = await asyncio.to_thread(self._fingerprint)
            if now == before:
                break
            before = now
        return before

    async def attempt(self) -> bool:
        """Load, prepare, publish; on any error the last good policy stays and the log says why."""
        began = time.monotonic()
        before = self.policy
        try:
            policy = await in_background(self._load, self.path)
            prepared = await in_background(self._prepared, policy)
            report = await asyncio.to_thread(self._publish, prepared)
        except PolicyError as error:
            self._watched = error.watched or self._watched
            self._reject(tuple(error.diagnostics))
        except EngineError as error:
            self._reject((Diagnostic("E001", str(error)),))
        except Exception as error:  # a bug of ours must not end the watch
            self._log.exception("reload failed unexpectedly")
            self._reject((Diagnostic("E002", f"internal error: {error!r}"),))
        else:
            changes = self._compare(before.plan, policy.plan) if before else []
            self._accept(policy, report, changes)
            self._log.info(
                "policy reloaded",
                digest=policy.plan.digest,
                generation=report["generation"],
                changes=told(changes),
                counters_reset=[f"{c.domain}/{c.limit}" for c in changes if c.kind == "reset" and not c.penalty],
                counters_kept=len(report["kept"]),
                compile_ms=round(report["compile_ms"], 1),
                total_ms=round((time.monotonic() - began) * 1000, 1),
            )
            return True
        return False

    def _accept(self, policy: Policy, report: SwapReport, changes: list[Change]) -> None:
        now = time.time()
        self.policy = policy
        self._watched = policy.watched
        self.state = replace(
            self.state,
            digest=policy.plan.digest,
            generation=report["generation"],
            loaded_at=now,
            attempted_at=now,
            ok=True,
            diagnostics=policy.warnings,
            successes=self.state.successes + 1,
            changes=told(changes),
        )
        for warning in policy.warnings:
            self._log.warning("policy warning", code=warning.code, diagnostic=str(warning))

    def _reject(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.state = replace(
            self.state, attempted_at=time.time(), ok=False, diagnostics=diagnostics, failures=self.state.failures + 1
        )
        for diagnostic in diagnostics:
            self._log.error("policy refused", code=diagnostic.code, diagnostic=str(diagnostic))
        self._log.error(
            "reload failed: the last good policy stays",
            digest=self.state.digest,
            errors=len(diagnostics),
            hint=f"ratelimitd check {self.path} shows the lines; an edit that mends them is loaded by itself",
        )
