"""Rule sets from disk: files in order, Include expanded, chains joined, SecDefaultAction applied."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ratelimitd.errors import Diagnostic, PolicyError, Position
from ratelimitd.waf.seclang.directives import Broken, Include, read_directives
from ratelimitd.waf.seclang.source import MAX_FILES, MAX_TOTAL, Report, Source, UnreadableError, read_bytes, shown
from ratelimitd.waf.seclang.tree import Configuration, DefaultAction, Directive, File, Rule, Script
from ratelimitd.waf.seclang.words import DISRUPTIVE

MAX_DEPTH = 16  # of Include
MAX_LINKS = 100  # of one chain
MAX_WILDCARDS = 2  # parts of an Include's path that have one: `*/../*/../*` looks at more and more
MAX_PATTERN = 4096  # bytes


def load(paths: Sequence[str | Path]) -> Configuration:
    """The files in this order; a directory is its *.conf by name. Raises PolicyError with all that is wrong."""
    loader = _Loader()
    for path in paths:
        loader.path(str(path))
    return loader.finished()


def parse(text: bytes, file: str = "rules.conf") -> Configuration:
    """One text, named for its errors; what it refers to is looked for beside `file`. Raises PolicyError."""
    loader = _Loader()
    loader.source(Source(file, text), ())
    return loader.finished()


class _Loader:
    """What was read so far."""

    def __init__(self) -> None:
        self.report = Report()
        self.directives: list[Directive] = []
        self.files: dict[str, File] = {}
        self.cache: dict[str, bytes] = {}
        self.total = 0

    def read(self, path: str) -> bytes:
        """A file's bytes, counted; each is read once. Raises UnreadableError."""
        if path in self.cache:
            return self.cache[path]
        if len(self.files) >= MAX_FILES:
            raise UnreadableError("S102", f"more than {MAX_FILES} files")
        data = read_bytes(path)
        self.total += len(data)
        if self.total > MAX_TOTAL:
            raise UnreadableError("S102", f"all files together are larger than {MAX_TOTAL // (1024 * 1024)} MiB")
        self.cache[path] = data
        self.files[path] = File(path, hashlib.sha256(data).hexdigest())
        return data

    def path(self, path: str) -> None:
        found = sorted(glob.glob(os.path.join(glob.escape(path), "*.conf"))) if os.path.isdir(path) else [path]
        if not found:
            message, hint = "no rules in this directory", "rules are in files named *.conf"
            self.report.add_at("S103", message, Position(path, 1, 1), hint)
        for file in found:
            try:
                self.source(Source(file, self.read(file)), (os.path.realpath(file),))
            except UnreadableError as problem:
                self.report.add_at(problem.code, f"cannot read the file: {problem}", Position(file, 1, 1))

    def source(self, source: Source, within: tuple[str, ...]) -> None:
        """`within`: the files that are being read, to see one that includes itself."""
        self.report.sources[source.file] = source
        chain: list[Rule] = []
        skipping = False  # links of a chain that has an error
        for part in read_directives(source, self.report, self.read):
            if isinstance(part, Rule) and part.operator is not None and (chain or skipping):
                on = _goes_on(part)
                if chain and self.is_link(part):
                    chain.append(part)
                    if not on:
                        self.close(chain)
                        chain = []
                    elif len(chain) > MAX_LINKS:
                        self.report.add_at("S102", f"a chain of more than {MAX_LINKS} rules", part.position)
                        chain, skipping = [], True
                else:
                    chain, skipping = [], on
                continue
            if isinstance(part, Broken):
                chain, skipping = [], part.opens_chain
                continue
            if chain:
                self.dangling(chain)
            chain, skipping = [], False
            if isinstance(part, Include):
                self.include(part, source, within)
            elif isinstance(part, Rule) and _goes_on(part):
                chain = [part]
            else:
                self.directives.append(part)
        if chain:
            self.dangling(chain)

    def is_link(self, part: Rule) -> bool:
        wrong = next((a for a in part.actions if a.name in DISRUPTIVE), None)
        if wrong is not None:
            message, hint = f"'{wrong.name}' in a rule that is not the first of its chain", "move it to the first"
            self.report.add_at("S603", message, wrong.position, hint)
        return wrong is None

    def dangling(self, chain: list[Rule]) -> None:
        message = "this chain does not go on: the next directive is no SecRule"
        self.report.add_at("S603", message, chain[-1].position, "remove 'chain', or add its next rule")

    def close(self, chain: list[Rule]) -> None:
        joined = chain[-1]
        for rule in reversed(chain[:-1]):
            joined = replace(rule, chained=replace(joined, phase=chain[0].phase))
        self.directives.append(joined)

    def include(self, part: Include, source: Source, within: tuple[str, ...]) -> None:
        said = shown(os.fsencode(part.pattern), 200)
        wildcards = sum(glob.has_magic(step) for step in part.pattern.split("/"))
        if wildcards > MAX_WILDCARDS or len(part.pattern) > MAX_PATTERN:
            message = f"Include takes {MAX_PATTERN} bytes, and wildcards in {MAX_WILDCARDS} parts of its path"
            self.report.add("S102", message, source, part.offset)
            return
        try:
            found = sorted(glob.glob(os.path.join(glob.escape(os.path.dirname(source.file)), part.pattern)))
        except (ValueError, OSError):
            found = []
        if not found:
            if not part.optional:
                self.report.add("S103", f"nothing to include: '{said}'", source, part.offset)
            return
        if len(within) >= MAX_DEPTH:
            self.report.add("S102", f"Include deeper than {MAX_DEPTH}", source, part.offset)
            return
        for file in found:
            real = os.path.realpath(file)
            if real in within:
                self.report.add("S103", f"'{said}' includes itself", source, part.offset)
                continue
            if self.report.full:
                return
            try:
                data = self.read(file)
            except UnreadableError as problem:
                self.report.add(problem.code, f"cannot include '{file}': {problem}", source, part.offset)
                continue
            self.source(Source(file, data), (*within, real))

    def finished(self) -> Configuration:
        """Raises PolicyError when anything was wrong."""
        self.ids()
        defaults = self.defaults()
        if self.report.diagnostics:
            raise PolicyError(sorted(self.report.diagnostics, key=_place))
        applied = tuple(_with_defaults(d, defaults) if isinstance(d, Rule) else d for d in self.directives)
        return Configuration(applied, tuple(self.files.values()))

    def ids(self) -> None:
        """Every rule has an id of its own. A SecAction, and a link of a chain, need none."""
        taken: dict[int, Position] = {}
        for directive in self.directives:
            rule: Rule | Script | None = directive if isinstance(directive, Rule | Script) else None
            if rule is not None and not rule.id and not (isinstance(rule, Rule) and rule.operator is None):
                self.report.add_at("S601", "a rule without an id", rule.position, "add id:...")
            while rule is not None:
                if rule.id and rule.id in taken:
                    hint = f"it is {taken[rule.id]}'s"
                    self.report.add_at("S602", f"id {rule.id} is taken", rule.position, hint)
                elif rule.id:
                    taken[rule.id] = rule.position
                rule = rule.chained if isinstance(rule, Rule) else None

    def defaults(self) -> dict[int, DefaultAction]:
        found: dict[int, DefaultAction] = {}
        for directive in self.directives:
            if isinstance(directive, DefaultAction):
                if other := found.get(directive.phase):
                    message = f"a second SecDefaultAction for phase {directive.phase}"
                    self.report.add_at("S604", message, directive.position, f"the first is {other.position}")
                found.setdefault(directive.phase, directive)
        return found


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    at = diagnostic.position
    return (at.file, at.line, at.column) if at else ("", 0, 0)


def _goes_on(rule: Rule) -> bool:
    return any(action.name == "chain" for action in rule.actions)


def _with_defaults(rule: Rule, defaults: dict[int, DefaultAction]) -> Rule:
    default = defaults.get(rule.phase)
    if default is None:
        return rule
    if default.transformations:
        rule = _transformed(rule, default.transformations)
    return replace(rule, defaults=default.actions)


def _transformed(rule: Rule, first: tuple[str, ...]) -> Rule:
    """The rule and its links with SecDefaultAction's transformations."""
    chained = _transformed(rule.chained, first) if rule.chained else None
    return replace(
        rule, transformations=rule.transformations if rule.resets else first + rule.transformations, chained=chained
    )
