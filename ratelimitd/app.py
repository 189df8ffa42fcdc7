"""Wires the process: settings, policy, engine, admin, reload, logs. Alone may import everything.

Start: policy -> engine -> sockets -> workers -> ready. Stop (SIGTERM, SIGINT): NOT_SERVING -> drain_delay, in which
callers go away by themselves -> GOAWAY -> connections end, or drain_seconds pass -> exit 0. A second signal stops at
once. SIGHUP reloads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from importlib.resources import files
from pathlib import Path
from typing import Any

from ratelimitd import __version__, cache, certificates
from ratelimitd import settings as process_settings
from ratelimitd._engine import Engine, Prepared
from ratelimitd.admin import server as admin
from ratelimitd.admin.context import Context
from ratelimitd.admin.guard import Tokens
from ratelimitd.blocklists import Blocklists
from ratelimitd.errors import EngineError, SettingsError
from ratelimitd.log import Logger, Pump, configure
from ratelimitd.notify import notify
from ratelimitd.policy import Policy, load_beside, load_policy
from ratelimitd.policy.changes import compare
from ratelimitd.policy.explain import explain, explain_data
from ratelimitd.policy.imported import Import, list_limits
from ratelimitd.policy.names import format_source
from ratelimitd.policy.plan import Limit, Penalty, Plan
from ratelimitd.policy.units import parse_duration
from ratelimitd.progress import told
from ratelimitd.reload import Reloader
from ratelimitd.settings import Settings
from ratelimitd.summary import plural, summary
from ratelimitd.sync.cluster import Cluster, fetch_hash_key
from ratelimitd.sync.options import Options, options
from ratelimitd.sync.options import hash_key as read_hash_key
from ratelimitd.top import Top

DRAIN_POLL_SECONDS = 0.02
CONTROL_NICE = 10  # a tenth of a worker's weight


def starter_policy() -> Path:
    """The packaged policy that is served when none is named."""
    return Path(str(files("ratelimitd") / "starter.yaml"))


def serve(settings: Settings) -> int:
    """Runs until a signal. Returns the exit code; raises RatelimitdError when it cannot start."""
    log = configure(settings.log_level, settings.log_format)
    for line in process_settings.misspelt():
        log.warning(line)
    return asyncio.run(_run(settings, log))


async def _run(settings: Settings, log: Logger) -> int:
    store = _store(settings)
    hash_key = read_hash_key(settings.hash_key_file) if settings.hash_key_file else os.urandom(16)
    if store is not None and not settings.hash_key_file:
        hash_key = await fetch_hash_key(store, hash_key, log)
    return await Process(settings, log, hash_key, store).run()


def _store(settings: Settings) -> Options | None:
    if not settings.redis:
        return None
    return options(
        settings.redis,
        prefix=settings.redis_prefix,
        password_file=settings.redis_password_file,
        provider=settings.redis_credentials,
        ca=settings.redis_ca,
        certificate=settings.redis_cert,
        key=settings.redis_key,
        interval_ms=settings.sync_interval_ms,
        wait=settings.redis_wait_seconds,
    )


def import_of(settings: Settings) -> Import | None:
    """The configuration of envoyproxy/ratelimit that is served too."""
    if not settings.ratelimit_config:
        return None
    return Import(
        Path(settings.ratelimit_config),
        headers=settings.ratelimit_headers,
        shadow=settings.ratelimit_shadow,
        merge=settings.ratelimit_merge,
    )


def policy_path(settings: Settings) -> Path:
    if settings.policy or not settings.ratelimit_config:
        return Path(settings.policy) if settings.policy else starter_policy()
    return Path(settings.ratelimit_config)


def yield_to_workers() -> None:
    """Lowers the priority of this thread and those that it starts: on few cores logs and scrapes wait, not checks."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), CONTROL_NICE)


def key_parts(item: Limit | Penalty) -> list[str]:
    return [format_source(part.source, part.name) for part in item.key]


class Process:
    """One serving process, from start to exit."""

    def __init__(self, settings: Settings, log: Logger, hash_key: bytes, store: Options | None) -> None:
        self._settings = settings
        self._log = log
        self._workers = settings.workers or process_settings.usable_cpus()
        self._stopping = asyncio.Event()
        self._again = asyncio.Event()  # a second signal
        self._serving = False
        self._cache_dir, self._cache_faults = cache.choose(settings.cache_dir, settings.cache_candidates)
        self._tasks: list[asyncio.Task[None]] = []
        self._top = Top()
        self._engine = Engine(
            workers=self._workers,
            max_keys=settings.max_keys,
            max_bans=settings.max_bans,
            hash_key=hash_key,
            sample=settings.log_sample,
            allows_per_second=settings.log_allows,
            denials_per_second=settings.log_denials,
            server=process_settings.server_options(settings),
        )
        self._blocklists = Blocklists(self._engine, log, settings.dns)
        self._pump = Pump(self._engine, log, self._top, values=settings.log_values)
        wanted = self._import = import_of(settings)
        path = policy_path(settings)
        beside = (lambda: wanted.directory) if wanted is not None else None
        self._reloader = Reloader(path, self._load, self._prepare, self._engine.publish, compare, log, beside)
        self._admin: admin.Server | None = None
        self._cluster: Cluster | None = None
        if store is not None:
            node = secrets.randbits(32)
            self._engine.sync_start(node)
            self._cluster = Cluster(self._engine, store, node, hash_key, log)
        self._tokens = Tokens(Path(settings.admin_token_file)) if settings.admin_token_file else None
        files = certificates.chosen(
            listens=bool(settings.listen_tls),
            certificate=settings.tls_cert,
            key=settings.tls_key,
            client_ca=settings.tls_client_ca,
            client_names=settings.tls_client_names,
        )
        self._certificates = certificates.Certificates(files, self._engine, log) if files else None

    # The policy.

    def _load(self, path: Path) -> Policy:
        if self._import is None:
            return load_policy(path)
        return load_beside(path if self._settings.policy else None, self._import)

    def _prepare(self, plan: Plan) -> Prepared:
        prepared = self._engine.prepare(plan, cache_dir=self._cache_dir)
        cache.prune(self._cache_dir)
        return prepared

    def _limits(self) -> dict[str, dict[str, list[str]]]:
        return {
            d.name.decode(): {limit.name.decode(): key_parts(limit) for limit in d.limits} for d in self._plan().domains
        }

    def _penalties(self) -> dict[str, dict[str, list[str]]]:
        return {
            d.name.decode(): {penalty.name.decode(): key_parts(penalty) for penalty in d.penalties}
            for d in self._plan().domains
        }

    def _rates(self) -> list[tuple[str, str, float]]:
        return [
            (d.name.decode(), limit.name.decode(), limit.rate.limit * 1000 / limit.rate.window_ms)
            for d in self._plan().domains
            for limit in d.limits
        ]

    def _plan(self) -> Plan:
        return self._reloader.policy.plan if self._reloader.policy else Plan()

    # Start.

    async def run(self) -> int:
        self._install_signals()
        listener, admin_address = self._bind_admin()
        if self._certificates is not None:
            self._certificates.first()
        self._engine.commit()
        if self._cache_faults:
            self._log.info("compiled patterns are not kept (--cache-dir)", because=self._cache_faults)
        with told(self._say_building):
            policy = self._reloader.first()
        bound = [f"grpc {self._listen(address)}" for address in self._settings.listen]
        bound += [f"tls {self._listen(address, tls=True)}" for address in self._settings.listen_tls]
        self._engine.set_descriptors((files("ratelimitd") / "_descriptors.binpb").read_bytes())
        self._engine.start()
        yield_to_workers()
        self._pump.start()
        self._spawn("reload", self._reloader.run())
        self._spawn("blocklists", self._blocklists.run())
        if self._cluster is not None:
            self._spawn("cluster", self._cluster.run())
        if self._certificates is not None:
            self._spawn("certificates", self._certificates.run())
        if listener is not None:
            remote = self._settings.admin_allow_remote
            self._admin = admin.server(admin.build(self._context(), remote=remote, tokens=self._tokens))
            self._spawn("admin", self._admin.serve(sockets=[listener]))
        self._set_serving(True)
        notify(self._settings.notify_socket, "READY=1")
        print(self._ready_line(policy, bound, admin_address), file=sys.stderr, flush=True)
        await self._stopping.wait()
        await self._drain()
        return 0

    def _say_building(self, seconds: float) -> None:
        kept = "" if self._cache_dir else "; --cache-dir DIR keeps its patterns for the next start"
        line = f"ratelimitd: compiling policy {self._reloader.path.name} ({seconds:.0f} s so far{kept})"
        print(line, file=sys.stderr, flush=True)

    def _listen(self, address: str, *, tls: bool = False) -> str:
        try:
            return self._engine.listen(address, tls=tls)
        except EngineError as error:
            flag = "--listen-tls" if tls else "--listen"
            raise EngineError(
                f"cannot listen on {address}: {error} (choose another with {flag}; port 0 takes a free one)"
            ) from None

    def _bind_admin(self) -> tuple[socket.socket | None, str]:
        address = self._settings.admin
        if address == "off":
            return None, "off"
        if not self._settings.admin_allow_remote and not admin.is_loopback(address):
            hint = "add --admin-allow-remote, and --admin-token-file, if that is meant"
            raise SettingsError(f"--admin {address} is not loopback: {hint}")
        if not admin.is_loopback(address) and self._tokens is None and not self._settings.admin_open:
            hint = "name a token by --admin-token-file, or add --admin-open if anybody may ask"
            raise SettingsError(f"--admin {address} is not loopback: {hint}")
        try:
            return admin.bind(address)
        except (OSError, ValueError) as error:
            raise SettingsError(f"cannot listen on --admin {address}: {error} (choose another, or off)") from None

    def _context(self) -> Context:
        return Context(
            engine=self._engine,
            version=__version__,
            serving=lambda: self._serving,
            reload=lambda: self._reloader.state,
            tls=lambda: self._certificates.state if self._certificates is not None else None,
            policy_data=lambda: explain_data(self._plan()),
            policy_text=lambda: explain(self._plan()),
            rate_limits=lambda: list_limits(self._plan()),
            limits=self._limits,
            penalties=self._penalties,
            duration=parse_duration,
            top=self._top.report,
            store=lambda: self._cluster.status() if self._cluster is not None else None,
            rates=self._rates,
        )

    def _ready_line(self, policy: Policy, bound: list[str], admin_address: str) -> str:
        doors = ", ".join([*bound, f"admin {admin_address}"])
        served = f"policy {self._reloader.path.name} ({summary(policy.plan)})"
        return f"ratelimitd ready: {doors}, {served}, {plural(self._workers, 'worker')}"

    # Signals and tasks.

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        self._reloader.request()
        if self._certificates is not None:
            self._certificates.request()

    def _stop(self) -> None:
        (self._again if self._stopping.is_set() else self._stopping).set()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A task that is never meant to end by itself: when it does, say so and go on serving."""

        async def guarded() -> None:
            try:
                await work
            except Exception:
                self._log.exception("task failed; checks are still answered", task=name)

        self._tasks.append(asyncio.create_task(guarded(), name=name))

    # Stop.

    def _set_serving(self, serving: bool) -> None:
        self._serving = serving
        self._engine.set_health(serving)

    async def _drain(self) -> None:
        began = time.monotonic()
        self._log.info("draining", connections=self._engine.connections())
        notify(self._settings.notify_socket, "STOPPING=1")
        self._set_serving(False)
        await self._pause(self._settings.drain_delay_seconds)
        self._engine.drain()
        deadline = time.monotonic() + self._settings.drain_seconds
        while self._engine.connections() and time.monotonic() < deadline and not self._again.is_set():
            await self._pause(DRAIN_POLL_SECONDS)
        left = self._engine.connections()
        await asyncio.to_thread(self._engine.stop)
        await asyncio.to_thread(self._pump.stop)
        await self._end_tasks()
        self._log.info("stopped", cut_connections=left, seconds=round(time.monotonic() - began, 3))

    async def _pause(self, seconds: float) -> None:
        """Sleeps, unless a second signal is in a hurry."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._again.wait(), seconds)

    async def _end_tasks(self) -> None:
        if self._admin is not None:
            self._admin.should_exit = True
            await asyncio.wait([t for t in self._tasks if t.get_name() == "admin"], timeout=2)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._cluster is not None:
            await self._cluster.leave()
        if self._settings.admin.startswith("unix:"):
            Path(admin.socket_path(self._settings.admin)).unlink(missing_ok=True)
