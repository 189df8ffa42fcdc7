"""The scan of a domain: rule sets found and read, then profiles, programs and routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from ratelimitd.errors import Diagnostic
from ratelimitd.policy import names
from ratelimitd.policy.checks.findings import Known
from ratelimitd.policy.compile import compile_match, compile_rule, encode
from ratelimitd.policy.nodes import Document, Path
from ratelimitd.policy.plan import Scan
from ratelimitd.policy.programs import (
    MAX_ROUTES,
    Conditional,
    Programs,
    Way,
    exclusion,
    expand,
    profiles,
)
from ratelimitd.policy.rulesets import Library, MissingError, RuleSet, profiles_of
from ratelimitd.policy.schema import ProfileSpec, RuleSpec, ScanSpec

# What a profile has of `scan` where it says nothing. The others are lists: it has its own and those of `scan`.
INHERITED = (
    "rulesets",
    "paranoia",
    "detection_paranoia",
    "threshold",
    "status",
    "body_limit",
    "partial_body",
    "broken_body",
    "unknown_body",
)


@dataclass(slots=True)
class Loaded:
    """The rule sets of a document: of scan, and of each profile that has its own, by the profile's path."""

    document: Document
    scan: ScanSpec
    sets: dict[Path, tuple[RuleSet, ...]] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def load_rulesets(document: Document, scan: ScanSpec, library: Library) -> Loaded:
    """Never fails: what is wrong is in `diagnostics`, or, once for all documents, in the library's."""
    loaded = Loaded(document, scan)
    directory = FilePath(document.file).parent
    for path, spec in profiles_of(scan):
        where: Path = ("scan", *path, "rulesets")
        loaded.known.complete &= document.whole(where)
        if spec.rulesets is None:
            continue
        found: list[RuleSet] = []
        for index, item in enumerate(spec.rulesets):
            made = None
            try:
                made = library.get(item, directory) if given(item) == 1 else None
            except MissingError as error:
                loaded.diagnostics.append(
                    document.diagnostic("P320", error.message, (*where, index, error.key), hint=error.hint)
                )
            if made is None:
                loaded.known.complete = False
            elif made not in found:
                found.append(made)
                loaded.known.ids.update((str(number), f"at {rule.position}") for number, rule in made.ids())
                loaded.known.tags.update(tag.decode("utf-8", "replace") for tag in made.tags())
        loaded.sets[path] = tuple(found)
    return loaded


def given(item: object) -> int:
    """How many kinds of rule set an entry of `rulesets` is."""
    return sum(getattr(item, key) is not None for key in ("name", "crs", "seclang"))


# ---- ways


def resolved(scan: ScanSpec, profile: ProfileSpec) -> ProfileSpec:
    """The profile with what it has of scan."""
    taken = {key: getattr(scan if getattr(profile, key) is None else profile, key) for key in INHERITED}
    return ProfileSpec.model_construct(
        **taken,
        exclude=scan.exclude if profile is scan else [*scan.exclude, *profile.exclude],
        rule_modes=scan.rule_modes if profile is scan else {**scan.rule_modes, **profile.rule_modes},
        rules=[],
    )


def ways_of(loaded: Loaded) -> Iterator[Way]:
    for path, profile in profiles_of(loaded.scan):
        spec = resolved(loaded.scan, profile)
        rules = [*short_rules(loaded.scan, path)]
        yield Way(
            name=str(path[-1]) if path else "default",
            spec=spec,
            sets=loaded.sets.get(path, loaded.sets.get((), ())),
            rules=tuple(compile_rule(rule) for rule, _ in rules),
            places=tuple(loaded.document.position(place) for _, place in rules),
            conditional=tuple(conditional(spec)),
            disabled=tuple(loaded.scan.disable),
        )


def short_rules(scan: ScanSpec, path: Path) -> Iterator[tuple[RuleSpec, Path]]:
    """The policy's own, those of scan and those of the profile at `path`, each with its place."""
    yield from ((rule, ("scan", "rules", index)) for index, rule in enumerate(scan.rules))
    if path:
        profile = scan.profiles[str(path[-1])]
        yield from ((rule, ("scan", *path, "rules", index)) for index, rule in enumerate(profile.rules))


def conditional(spec: ProfileSpec) -> Iterator[Conditional]:
    """Exclusions with a match; those of one match count as one for each."""
    for number, item in enumerate(spec.exclude, 1):
        if item.match is not None:
            yield Conditional(number, exclusion(item), compile_match(item.match))


# ---- the plan's


def compile_scan(loaded: Loaded, programs: Programs) -> Scan:
    """Raises PolicyError: of the rules' own, and TooManyError."""
    spec = loaded.scan
    ways = [*ways_of(loaded)]
    number = {way.name: index for index, way in enumerate(ways) if index}
    mode = names.SCAN_MODES[spec.mode]
    routes = [
        (compile_match(r.match), mode if r.mode is None else names.SCAN_MODES[r.mode], number.get(r.profile or "", 0))
        for r in spec.routes
    ]
    choices = expand(routes, mode, ways, encode(spec.profile_attribute or ""))
    anything = any(way.rules or way.sets for way in ways)
    position = loaded.document.position(("scan",), key=True)
    made, ways_to = profiles(programs, ways, choices, position) if anything else ((), ())
    return Scan(
        mode=mode,
        routes=ways_to,
        profiles=made,
        disabled=tuple(dict.fromkeys(map(encode, spec.disable))),
    )


def too_many(loaded: Loaded) -> Diagnostic:
    hint = "give them matches that exclude each other, or write them in SecLang: ctl:ruleRemoveById"
    message = f"the exclusions' matches, profiles and routes make more than {MAX_ROUTES} cases"
    return loaded.document.diagnostic("P321", message, ("scan", "exclude"), hint=hint, key=True)
