"""How commands print: for people with rich (colours on a terminal only), for programs as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from ratelimitd.errors import Diagnostic
from ratelimitd.policy.render import render
from ratelimitd.progress import told


def console(*, stderr: bool = False) -> Console:
    """Plain text when the stream is not a terminal; then lines are not cut to a width either."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = 200
    return made


@contextmanager
def compiling() -> Iterator[None]:
    """People at a terminal are told what takes so long: the first compilation of a rule set takes seconds."""

    def say(passed: float) -> None:
        if sys.stderr.isatty():
            print(f"compiling patterns ({passed:.0f} s so far)", file=sys.stderr)

    with told(say):
        yield


def print_json(content: Any, *, compact: bool = False) -> None:
    option = orjson.OPT_APPEND_NEWLINE | (0 if compact else orjson.OPT_INDENT_2)
    sys.stdout.write(orjson.dumps(content, option=option, default=_plain).decode())
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(type(value).__name__)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """A borderless table; the columns in `right` are numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def print_table(out: Console, rows: Table) -> None:
    """Without the blanks that fill its last column, where nobody sees them."""
    if out.is_terminal:
        out.print(rows)
        return
    with out.capture() as captured:
        out.print(rows)
    for line in captured.get().splitlines():
        out.print(line.rstrip(), markup=False)


def seconds(milliseconds: int) -> str:
    """12 -> "12ms", 1500 -> "1.5s", 90000 -> "1m30s", 3600000 -> "1h"."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.3g}s"
    whole = round(milliseconds / 1000)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count)


UNREAD = ("P101", "P104", "P105", "P106", "P107")  # what may have stopped the reading of a file
MORE = "There may be more: what cannot be read is not checked. Run it again when it is mended.\n"


def print_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Every diagnostic with its offending line, on stderr; and that there may be more, when a file was not read on."""
    found = list(diagnostics)
    sys.stderr.write(render(found, colour=console(stderr=True).is_terminal))
    if any(d.code in UNREAD for d in found):
        sys.stderr.write(MORE)
