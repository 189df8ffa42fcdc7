"""Logs: one JSON object (or console line) per event on stderr, and the pump that makes such lines of engine events.

Denials are rate-capped and allows sampled where they are decided, so a line's `weight` says how many decisions it
stands for.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import orjson
import structlog

from ratelimitd.redact import clear, printable, shown, without_values
from ratelimitd.top import Key, Top

if TYPE_CHECKING:
    from ratelimitd._engine import Event, EventMatch

Logger = structlog.typing.FilteringBoundLogger

Show = Callable[[str, bytes, int], str]  # a target, the beginning of its value, the size of all of it

VALUES: dict[str, Show | None] = {"redacted": shown, "clear": lambda _, value, size: clear(value, size), "off": None}
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Bridge(logging.Handler):
    """What libraries say through the standard library, in our format."""

    def __init__(self, log: Logger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


def timestamp(moment: datetime) -> str:
    """RFC 3339, UTC, milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stamp(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    first = {"time": timestamp(datetime.now(UTC)), "level": event.pop("level"), "event": event.pop("event")}
    return {**first, **event}


def _json(logger: Any, method: str, event: structlog.typing.EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure(level: str, form: str, stream: TextIO | None = None) -> Logger:
    """The process's logger. `form`: "json", "console" or "auto" (console on a terminal)."""
    stream = stream or sys.stderr
    console = form == "console" or (form == "auto" and stream.isatty())
    render: Any = structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time") if console else _json
    processors = [structlog.processors.add_log_level, _stamp, structlog.processors.format_exc_info, render]
    if console:  # its renderer prints tracebacks itself
        processors.remove(structlog.processors.format_exc_info)
    log: Logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    )
    logging.basicConfig(handlers=[_Bridge(log)], level=logging.WARNING, force=True)
    return log


class EventSource(Protocol):
    """What the pump needs of the engine."""

    def events(self, limit: int = ...) -> list[Event]: ...
    def stats(self) -> dict[str, Any]: ...


def match_fields(match: EventMatch, show: Show | None) -> dict[str, Any]:
    """A rule that matched. `show`: makes text of what it matched; None: nothing is said of that."""
    fields: dict[str, Any] = {"id": match["id"], "target": match["target"], "score": match["score"]}
    if show is not None and match["target"]:
        fields["value"] = show(match["target"], match["value"], match["size"])
    return fields


def decision_fields(event: Event, values: str = "redacted") -> dict[str, Any]:
    """The fields of one decision line; those that say nothing are left out.

    `values`: one of VALUES: how what rules matched is shown; without "clear" no values of the query either. A domain
    that hides its keys never shows them in clear.
    """
    shows_all = values == "clear" and not event["secret"]
    show = VALUES["redacted" if values == "clear" and not shows_all else values]
    fields: dict[str, Any] = {
        "decided_at": timestamp(datetime.fromtimestamp(event["time_ns"] / 1e9, UTC)),
        "domain": event["domain"],
        "decision": event["decision"],
        "phase": event["phase"],
        "status": event["status"],
        "weight": event["weight"],
    }
    optional = (
        ("reason", event["reason"]),
        ("decider", event["decider"]),
        ("limit", event["limit"]),
        ("key", printable(event["key"])),
        ("banned_by", event["banned_by"]),
        ("banned_seconds", event["banned_seconds"]),
        ("client", event["client"]),
        ("method", printable(event["method"])),
        ("path", printable(event["path"] if shows_all else without_values(event["path"]))),
        ("score", event["score"]),
        ("matches", [match_fields(match, show) for match in event["matches"]]),
        ("more_matches", event["more_matches"]),
        ("reference", event["reference"]),
        ("shadow", event["shadow"]),
    )
    return fields | {name: value for name, value in optional if value}


class Pump:
    """A thread that empties the event ring every `interval` seconds into the log and into `top`.

    A thread and not a task: when stderr is not read (a stuck log driver), this thread waits and the ring overwrites
    its oldest events, but admin, reload and signals go on.
    """

    BATCH = 1024

    def __init__(
        self, engine: EventSource, log: Logger, top: Top, interval: float = 0.25, values: str = "redacted"
    ) -> None:
        self._engine = engine
        self._log = log
        self._top = top
        self._interval = interval
        self._values = values
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-pump", daemon=True)
        self._lost = 0
        self._evicted = 0  # bans

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """Logs what is left, then returns; gives up after `timeout` seconds."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        ticks = 0
        while not self._stop.wait(self._interval):
            self._guarded_drain(lost=ticks % 4 == 0)
            ticks += 1
        self._guarded_drain(lost=True)

    def _guarded_drain(self, *, lost: bool) -> None:
        try:
            self.drain()
            if lost:
                self._report_lost()
        except Exception:  # the pump must outlive one bad event
            self._log.exception("log pump failed")

    def drain(self) -> int:
        """Takes events until the ring is empty; returns how many."""
        taken = 0
        while True:
            events = self._engine.events(self.BATCH)
            for event in events:
                self._take(event)
            taken += len(events)
            if len(events) < self.BATCH or self._stop.is_set():
                return taken

    def _take(self, event: Event) -> None:
        if event["decider"]:  # only limits and penalties have a key of their own: for the others the client stands
            key = Key(event["domain"], event["decider"], event["limit"], event["key"] or event["client"])
            denied = event["decision"] == "deny"
            self._top.add(key, event["weight"], denied=denied, watched=event["shadow"])
        self._log.info("decision", **decision_fields(event, self._values))

    def _report_lost(self) -> None:
        stats = self._engine.stats()
        lost, evicted = stats["ring"]["lost"], stats["bans"]["evicted"]
        if evicted > self._evicted:
            self._log.warning(
                "bans lifted before their time: too many keys are banned at once; raise --max-bans",
                bans=evicted - self._evicted,
                bans_total=evicted,
            )
        self._evicted = evicted
        if lost > self._lost:
            self._log.warning(
                "decisions not logged: the log's rate cap or its ring was full", lost=lost - self._lost, lost_total=lost
            )
        self._lost = lost
