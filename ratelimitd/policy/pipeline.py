"""The way from files to a plan, in named stages: read -> compose -> shape -> rules -> validate -> compile.

Every error that can be known is reported at once: what does not pass a stage is cut out, and the next one sees the rest
with its gaps, so that one mistake is not told twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from ratelimitd.errors import Diagnostic, PolicyError, Position
from ratelimitd.policy.cases import Case, compile_cases
from ratelimitd.policy.compile import compile_domain
from ratelimitd.policy.imported import Import, import_domains
from ratelimitd.policy.load import SourceFile, compose_all, digest_of, read_sources
from ratelimitd.policy.nodes import Document
from ratelimitd.policy.plan import Domain, Plan, Scan
from ratelimitd.policy.programs import Programs, TooManyError
from ratelimitd.policy.rulesets import Library, with_excerpt
from ratelimitd.policy.salvage import salvage
from ratelimitd.policy.scan import Loaded, compile_scan, load_rulesets, too_many
from ratelimitd.policy.schema import PolicySpec
from ratelimitd.policy.validate import check_domains, validate
from ratelimitd.waf.seclang.tree import Rule


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that can be served."""

    plan: Plan
    cases: tuple[Case, ...]  # of all domains, in file order
    sources: tuple[SourceFile, ...]
    warnings: tuple[Diagnostic, ...]
    watched: tuple[str, ...] = ()  # patterns of the paths that the rule sets depend on, beside the policy's own files
    stages: tuple[tuple[str, float], ...] = ()  # what each stage took, in milliseconds


class Stopwatch:
    def __init__(self) -> None:
        self.stages: list[tuple[str, float]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.stages.append((name, (perf_counter() - started) * 1000))


def load_policy(path: str | Path) -> Policy:
    """Loads a file, or a directory with one domain per file.

    Raises PolicyError with every diagnostic, and never anything else.
    """
    watch = Stopwatch()
    with watch.stage("read"):
        sources, unread = read_sources(path)
    return build(sources, watch, unread)


def load_beside(path: str | Path | None, wanted: Import) -> Policy:
    """A configuration of envoyproxy/ratelimit beside the policy at path, or alone. Raises PolicyError."""
    errors: list[Diagnostic] = []
    watched: tuple[str, ...] = ()
    policy = Policy(Plan(default_domain=False), (), (), ())
    try:
        policy = load_policy(path) if path is not None else policy
    except PolicyError as error:
        errors, watched = error.diagnostics, error.watched
    try:
        domains, sources = import_domains(wanted)
    except PolicyError as error:
        raise PolicyError([*errors, *error.diagnostics], watched) from None
    taken = {domain.name for domain in policy.plan.domains}
    for domain in domains:
        if domain.name in taken:
            message = f"domain '{domain.name.decode()}' is one of our policies too"
            errors.append(Diagnostic("P301", message, Position(str(wanted.directory), 1, 1), "give one another name"))
    if errors:
        raise PolicyError(errors, watched)
    everything = (*policy.sources, *sources)
    plan = replace(policy.plan, domains=(*policy.plan.domains, *domains), digest=digest_of(everything))
    return replace(policy, plan=plan, sources=everything)


def load_text(text: str, file: str = "policy.yaml") -> Policy:
    """The same for a text that is not on disk."""
    return build([SourceFile(file, "", text)], Stopwatch())


def build(sources: Sequence[SourceFile], watch: Stopwatch, unread: Sequence[Diagnostic] = ()) -> Policy:
    """`unread`: what kept files from being sources."""
    with watch.stage("compose"):
        documents, errors = compose_all(sources)
        errors += unread
    with watch.stage("shape"):
        shaped, more = shape_all(documents)
        errors += more
    with watch.stage("rules"):
        library = Library()
        loaded = [load_rulesets(document, spec.scan, library) for document, spec in shaped]
        errors += library.diagnostics
        errors += [diagnostic for item in loaded for diagnostic in item.diagnostics]
    with watch.stage("validate"):
        warnings: list[Diagnostic] = []
        for (document, spec), item in zip(shaped, loaded, strict=True):
            findings = validate(document, spec, item.known)
            errors += findings.errors
            warnings += findings.warnings
        errors += check_domains(shaped)
    with watch.stage("programs"):
        scans: list[Scan] = []
        if not errors:
            scans, errors = compile_scans(loaded, library)
    if errors:
        raise PolicyError(by_place([*map(with_excerpt, errors), *warnings]), tuple(library.watched))
    with watch.stage("compile"):
        domains = [compile_domain(spec, scan) for (_, spec), scan in zip(shaped, scans, strict=True)]
        plan = replace(plan_of(domains, [spec for _, spec in shaped]), digest=digest_of(sources))
        cases = tuple(case for _, spec in shaped for case in compile_cases(spec))
    return Policy(plan, cases, tuple(sources), tuple(by_place(warnings)), tuple(library.watched), tuple(watch.stages))


def compile_scans(loaded: Sequence[Loaded], library: Library) -> tuple[list[Scan], list[Diagnostic]]:
    """The scans of all domains, and what of their rules cannot be used."""
    programs = Programs(library.base())
    scans: list[Scan] = []
    errors: list[Diagnostic] = []
    for item in loaded:
        try:
            scans.append(compile_scan(item, programs))
        except PolicyError as error:
            errors += error.diagnostics
        except TooManyError:
            errors.append(too_many(item))
    return scans, errors


def rules_of(path: str | Path) -> Iterator[Rule]:
    """Every rule of the rule sets of a policy that loads, as its file has it. Raises PolicyError."""
    documents, _ = compose_all(read_sources(path)[0])
    library = Library()
    for document, spec in shape_all(documents)[0]:
        load_rulesets(document, spec.scan, library)
    library.base()
    for item in library.sets.values():
        yield from item.configuration.rules() if item is not None else ()


def shape_all(documents: Sequence[Document]) -> tuple[list[tuple[Document, PolicySpec]], list[Diagnostic]]:
    """What is left of each document, and what is not."""
    found = [salvage(document, PolicySpec) for document in documents]
    shaped = [(item.document, item.model) for item in found if item.model is not None]
    return shaped, [diagnostic for item in found for diagnostic in item.diagnostics]


def plan_of(domains: Sequence[Domain], specs: Sequence[PolicySpec]) -> Plan:
    """The default domain stands first: the only one (unless it says otherwise), or the one that says so."""
    first = next((i for i, spec in enumerate(specs) if spec.default), None)
    if first is None and len(specs) == 1 and specs[0].default is None:
        first = 0
    if first is None:
        return Plan(tuple(domains), default_domain=False)
    return Plan((domains[first], *domains[:first], *domains[first + 1 :]), default_domain=True)


def by_place(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    def place(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
        position = diagnostic.position
        return (
            (position.file, position.line, position.column, diagnostic.code)
            if position
            else ("", 0, 0, diagnostic.code)
        )

    return sorted(dict.fromkeys(diagnostics), key=place)
