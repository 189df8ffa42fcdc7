"""The rule sets that policies name, from disk: which files they are, their syntax trees, and what is wrong with them.

A library serves one load of all policies: what several of them name is read once.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from ratelimitd.errors import Diagnostic, PolicyError
from ratelimitd.policy.schema import ProfileSpec, RulesetSpec, ScanSpec
from ratelimitd.waf.compile import said
from ratelimitd.waf.places import names_places, places_path
from ratelimitd.waf.seclang import load
from ratelimitd.waf.seclang.source import Source, UnreadableError, read_bytes
from ratelimitd.waf.seclang.tree import Configuration, Rule

OURS = Path(str(files("ratelimitd") / "waf" / "rules"))
BASE, BUILTIN = OURS / "base.conf", OURS / "builtin.conf"
# Debian keeps the exclusions beside the setup, away from the rules.
BEFORE, AFTER = "REQUEST-900-EXCLUSION-RULES-BEFORE-CRS.conf", "RESPONSE-999-EXCLUSION-RULES-AFTER-CRS.conf"


class MissingError(Exception):
    """A rule set without its files: which key of it says so, what is wrong, and what to do."""

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.key, self.message, self.hint = key, message, hint


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a rule set in the order in which they are read, and the patterns that found them.

    `setup`: those that come before the policy's own settings.
    """

    files: tuple[str, ...]
    setup: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


def find(spec: RulesetSpec, directory: Path) -> Found:
    """directory: what relative paths start from. Raises MissingError."""
    if spec.crs is not None:
        return find_crs(directory / spec.crs, directory / spec.setup if spec.setup is not None else None)
    if spec.seclang is not None:
        return find_seclang(spec.seclang, directory)
    return Found((str(BUILTIN),))


def find_crs(root: Path, setup: Path | None) -> Found:
    rules = root / "rules"
    if not rules.is_dir():
        root, rules = root.parent, root
    pattern = os.path.join(glob.escape(str(rules)), "*.conf")
    found = sorted(glob.glob(pattern))
    if not found:
        raise MissingError("crs", f"no rules in {rules}", "name the Core Rule Set's directory, with `rules` in it")
    if setup is None:
        places = [root / "crs-setup.conf", root / "crs-setup.conf.example"]
        setup = next((place for place in places if place.is_file()), None)
        if setup is None:
            raise MissingError("crs", f"no crs-setup.conf in {root}", "name it: setup: FILE")
    elif not setup.is_file():
        raise MissingError("setup", f"no file {setup}")
    plugins = {part: os.path.join(glob.escape(str(root / "plugins")), f"*-{part}.conf") for part in PLUGINS}
    config, before, after = (sorted(glob.glob(plugins[part])) for part in PLUGINS)
    aside = [str(p) for p in (setup.parent / BEFORE, setup.parent / AFTER) if p.is_file() and setup.parent != rules]
    first = [str(setup), *config]
    excluding = [p for p in aside if p.endswith(BEFORE)]
    ending = [p for p in aside if p.endswith(AFTER)]
    order = (*first, *before, *excluding, *found, *after, *ending)
    return Found(order, tuple(first), (pattern, *plugins.values()))


PLUGINS = ("config", "before", "after")


def find_seclang(texts: Iterable[str], directory: Path) -> Found:
    found: dict[str, None] = {}
    patterns = []
    for text in texts:
        path = os.path.join(glob.escape(str(directory)), text)
        if os.path.isdir(directory / text):
            path = os.path.join(path, "*.conf")
        try:
            files_of = sorted(p for p in glob.glob(path) if not os.path.isdir(p))
        except (OSError, ValueError):
            files_of = []
        if not files_of:
            raise MissingError("seclang", f"no file {text[:200]}", f"paths are relative to {directory}")
        found.update(dict.fromkeys(files_of))
        patterns.append(path)
    return Found(tuple(found), (), tuple(patterns))


PACKAGED = (Found((str(BASE),)), Found((str(BUILTIN),)))


@cache
def ours(path: str) -> Configuration:
    """A rule file that comes with us: it is the same for all policies as long as the process lives."""
    return load([path])


@dataclass(frozen=True, slots=True, eq=False)
class RuleSet:
    found: Found
    configuration: Configuration

    def ids(self) -> Iterator[tuple[int, Rule]]:
        for rule in self.configuration.rules():
            if rule.id:
                yield rule.id, rule

    def tags(self) -> Iterator[bytes]:
        for rule in self.configuration.rules():
            yield from said(rule, "tag")


@dataclass
class Library:
    """`watched`: every file that was read or looked for, and every pattern that was expanded."""

    watched: dict[str, None] = field(default_factory=dict)
    sets: dict[Found, RuleSet | None] = field(default_factory=dict)  # None: it has errors, which have been told
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def get(self, spec: RulesetSpec, directory: Path) -> RuleSet | None:
        """None: it cannot be used, and `diagnostics` say why. Raises MissingError: there is none."""
        for path in (spec.crs, spec.setup, *(spec.seclang or ())):
            if path is not None:
                self.watched[os.path.join(glob.escape(str(directory)), path)] = None
        return self.read(find(spec, directory))

    def base(self) -> RuleSet:
        made = self.read(Found((str(BASE),)))
        assert made is not None
        return made

    def read(self, found: Found) -> RuleSet | None:
        if found not in self.sets:
            self.watched.update(dict.fromkeys((*found.patterns, *map(glob.escape, found.files))))
            try:
                configuration = ours(*found.files) if found in PACKAGED else load(found.files)
                self.watched.update(dict.fromkeys(glob.escape(file.path) for file in configuration.files))
                named = filter(names_places, configuration.directives)
                self.watched.update(dict.fromkeys(glob.escape(places_path(directive)) for directive in named))
                self.sets[found] = RuleSet(found, configuration)
            except PolicyError as error:
                self.diagnostics += error.diagnostics
                self.sets[found] = None
        return self.sets[found]


def profiles_of(scan: ScanSpec) -> Iterator[tuple[tuple[str, ...], ProfileSpec]]:
    """Scan itself and its profiles, each with its path below scan."""
    yield (), scan
    for name, profile in scan.profiles.items():
        yield ("profiles", name), profile


def with_excerpt(diagnostic: Diagnostic) -> Diagnostic:
    """With the line that it is about, when it stands in a file that can be read."""
    if diagnostic.excerpt or diagnostic.position is None:
        return diagnostic
    try:
        source = Source(diagnostic.position.file, read_bytes(diagnostic.position.file))
    except UnreadableError:
        return diagnostic
    known = diagnostic.position.line <= len(source.starts)
    return replace(diagnostic, excerpt=source.excerpt(diagnostic.position.line)) if known else diagnostic
