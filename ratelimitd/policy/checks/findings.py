"""Where checks report to, and what they know beside the document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ratelimitd.errors import Diagnostic
from ratelimitd.policy import names
from ratelimitd.policy.nodes import Document, Path
from ratelimitd.policy.schema import PolicySpec


@dataclass(slots=True)
class Known:
    """The rules of the rule sets: ids, with where each stands, and tags. `complete`: there are no others."""

    ids: dict[str, str] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    complete: bool = True


@dataclass(slots=True)
class Findings:
    """Where checks report to."""

    document: Document
    spec: PolicySpec
    known: Known = field(default_factory=Known)
    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)

    def whole(self, *paths: Path) -> bool:
        """Is all that stands there, or does not, as it was written?"""
        return all(map(self.document.whole, paths))

    def error(self, code: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.errors.append(self.document.diagnostic(code, message, path, hint=hint, key=key))

    def warning(self, code: str, message: str, path: Path, hint: str = "", *, key: bool = False) -> None:
        self.warnings.append(self.document.diagnostic(code, message, path, hint=hint, key=key, severity="warning"))


def check_name(f: Findings, key: str, name: str | None, known: Iterable[str], path: Path, all_known: bool) -> None:
    """Does the test expect something of a limit, list or rule that there is?"""
    if name is not None and all_known and name not in known:
        f.error("P315", f"no {key} '{name}'", (*path, "expect", key), names.did_you_mean(name, known))
