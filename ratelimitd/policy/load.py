"""Policy files from disk: one file, or every *.yaml and *.yml of a directory, in order of their names."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ratelimitd.errors import Diagnostic, PolicyError, Position
from ratelimitd.policy.nodes import MAX_BYTES, Document, PolicySyntaxError, compose

MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was read. `sha256` in hex."""

    file: str
    sha256: str
    text: str = field(repr=False)


def policy_files(path: Path) -> list[Path]:
    """Which files make up the policy at path. Hidden names are not read: Kubernetes keeps its `..data` links there.

    Raises PolicyError when there is none.
    """
    if not path.is_dir():
        return [path]
    try:
        found = sorted(
            p for p in path.iterdir() if p.suffix in (".yaml", ".yml") and not p.name.startswith(".") and not p.is_dir()
        )
    except OSError as error:
        raise PolicyError(
            [Diagnostic("P107", f"cannot read the directory: {error.strerror}", Position(str(path), 1, 1))]
        ) from None
    if not found:
        message, hint = "no policy in this directory", "put *.yaml files there, one domain each"
        raise PolicyError([Diagnostic("P107", message, Position(str(path), 1, 1), hint)])
    if len(found) > MAX_FILES:
        raise PolicyError([Diagnostic("P106", f"more than {MAX_FILES} files", Position(str(path), 1, 1))])
    return found


def read_file(path: Path) -> SourceFile:
    """A file's text, at most MAX_BYTES of it. Raises PolicyError."""
    file = str(path)

    def refuse(code: str, message: str, hint: str = "", line: int = 1, column: int = 1) -> PolicyError:
        return PolicyError([Diagnostic(code, message, Position(file, line, column), hint)])

    try:
        # Not to hang on a pipe that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise refuse("P107", "not a regular file")
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise refuse("P107", f"cannot read the file: {reason}") from None
    if len(data) > MAX_BYTES:
        raise refuse("P106", f"larger than {MAX_BYTES // (1024 * 1024)} MiB", "split it: one domain per file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise refuse("P107", "not UTF-8", "save the file as UTF-8", line, column) from None
    return SourceFile(file, hashlib.sha256(data).hexdigest(), text)


def read_sources(path: str | Path) -> tuple[list[SourceFile], list[Diagnostic]]:
    """Every file of a policy that can be read, and what is wrong with the others. Raises PolicyError: there is none."""
    sources: list[SourceFile] = []
    diagnostics: list[Diagnostic] = []
    for file in policy_files(Path(path)):
        try:
            sources.append(read_file(file))
        except PolicyError as error:
            diagnostics += error.diagnostics
    return sources, diagnostics


def compose_all(sources: Sequence[SourceFile]) -> tuple[list[Document], list[Diagnostic]]:
    """The trees of those that are YAML, and what is wrong with the others."""
    documents: list[Document] = []
    diagnostics: list[Diagnostic] = []
    for source in sources:
        try:
            documents.append(compose(source.text, source.file))
        except PolicySyntaxError as problem:
            diagnostics += problem.diagnostics
    return documents, diagnostics


def digest_of(sources: Sequence[SourceFile]) -> str:
    """One hash (hex) for all files: their names and their contents."""
    return hashlib.sha256("\n".join(f"{Path(s.file).name} {s.sha256}" for s in sources).encode()).hexdigest()
