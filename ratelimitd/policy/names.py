"""The words of the policy language and the plan's numbers for them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from ratelimitd.policy.plan import (
    Algorithm,
    Consistency,
    HeaderFamily,
    Op,
    ScanMode,
    Source,
    StoreLoss,
    Target,
    TargetRef,
    Transformation,
)
from ratelimitd.waf.seclang.tree import IdRange
from ratelimitd.waf.tuning import RuleMode

PLAIN_SOURCES = {
    "client.ip": Source.CLIENT_IP,
    "method": Source.METHOD,
    "host": Source.HOST,
    "path": Source.PATH,
    "raw_path": Source.RAW_PATH,
    "scheme": Source.SCHEME,
}
NAMED_SOURCES = {
    "header": Source.HEADER,
    "cookie": Source.COOKIE,
    "query": Source.QUERY,
    "attribute": Source.ATTRIBUTE,
    "descriptor": Source.ATTRIBUTE,  # of the rate limit service: the attribute of the whole name
}
KEY_SOURCES = {**NAMED_SOURCES, "path": Source.PATH_PARAM, "constant": Source.CONSTANT}

OPERATORS = {
    "exact": Op.EXACT,
    "prefix": Op.PREFIX,
    "suffix": Op.SUFFIX,
    "glob": Op.GLOB,
    "regex": Op.REGEX,
    "cidr": Op.CIDR,
}
ALGORITHMS = {a.name.lower(): a for a in Algorithm}
CONSISTENCIES = {c.name.lower(): c for c in Consistency}
STORE_LOSSES = {loss.name.lower(): loss for loss in StoreLoss}
SCAN_MODES = {m.name.lower(): m for m in ScanMode}
MODES = {"enforce": False, "shadow": True}
HEADER_FAMILIES = {
    "none": HeaderFamily.NONE,
    "ietf": HeaderFamily.IETF,
    "x-ratelimit": HeaderFamily.X_RATELIMIT,
    "both": HeaderFamily.BOTH,
    "draft-03": HeaderFamily.DRAFT_03,
}
TARGETS = {t.name.lower(): t for t in Target}
TARGET_ALIASES = {"header": Target.HEADERS, "cookie": Target.COOKIES, "arg": Target.ARGS}
NARROWED = (Target.ARGS, Target.HEADERS, Target.COOKIES)  # targets that take a name
NAMES = (Target.ARGS_NAMES, Target.HEADERS_NAMES, Target.COOKIES_NAMES)  # ... and in exclusions
RULE_MODES = {m.name.lower(): m for m in RuleMode}
TRANSFORMATIONS = {t.name.lower(): t for t in Transformation}

OBJECTORS = ("limits", "scan", "limit.<name>")  # whose denials a penalty counts
MATCH_KEYS = [*PLAIN_SOURCES, *(f"{name}.<name>" for name in NAMED_SOURCES)]
KEY_PARTS = [*PLAIN_SOURCES, *(f"{name}.<name>" for name in KEY_SOURCES)]

_SPAN = re.compile(r"[0-9]{1,9}(?:-[0-9]{1,9})?\Z")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}\Z")


def parse_source(text: str, *, key: bool) -> tuple[Source, bytes] | None:
    """(source, name) of "header.x-api-key"; None when there is no such source. `key`: parameters and constants too."""
    if text in PLAIN_SOURCES:
        return PLAIN_SOURCES[text], b""
    kind, dot, name = text.partition(".")
    source = (KEY_SOURCES if key else NAMED_SOURCES).get(kind)
    if source is None or not dot or not name or len(name) > 256:
        return None
    if source is Source.HEADER:
        return (source, name.lower().encode()) if _HEADER_NAME.match(name) else None
    return source, (text if kind == "descriptor" else name).encode("utf-8", "surrogatepass")


def parse_objector(text: str) -> tuple[str, str] | None:
    """("limit", "login") of "limit.login", ("limits", ""), ("scan", ""); None when it is none of these."""
    if text in ("limits", "scan"):
        return text, ""
    kind, _, name = text.partition(".")
    return (kind, name) if kind == "limit" and name else None


def format_source(source: Source, name: bytes) -> str:
    """What parse_source reads."""
    for text, plain in PLAIN_SOURCES.items():
        if plain is source:
            return text
    if source is Source.ATTRIBUTE and name.startswith(b"descriptor.") and len(name) > len(b"descriptor."):
        return name.decode("utf-8", "replace")
    for text, named in KEY_SOURCES.items():
        if named is source:
            return f"{text}.{name.decode('utf-8', 'replace')}"
    return source.name.lower()


def parse_target(text: str) -> TargetRef | None:
    """The plan's form of "args", "headers:user-agent", "!args:password"; None when there is no such target."""
    exclude = text.startswith("!")
    kind, colon, name = text.removeprefix("!").partition(":")
    target = TARGETS.get(kind)
    if target is None:
        target = TARGET_ALIASES.get(kind) if colon else None
    if target is None or (colon and (not name or target not in NARROWED)) or len(name) > 256:
        return None
    if target is Target.HEADERS:
        name = name.lower()
    return TargetRef(target, name.encode("utf-8", "surrogatepass"), exclude)


def parse_excluded(text: str) -> TargetRef | None:
    """The same for what rules shall not look at: no "!", and names of names too."""
    kind, colon, name = text.partition(":")
    if colon and TARGETS.get(kind) in NAMES and 0 < len(name) <= 256:
        return TargetRef(TARGETS[kind], name.encode("utf-8", "surrogatepass"))
    return None if text.startswith("!") else parse_target(text)


def parse_span(text: str) -> IdRange | None:
    """Rule ids of "942100" or "920000-920999"; None: a word, or a range from high to low."""
    if not _SPAN.match(text):
        return None
    first, _, last = text.partition("-")
    span = IdRange(int(first), int(last or first))
    return span if span.first <= span.last else None


def format_target(ref: TargetRef) -> str:
    name = f":{ref.name.decode('utf-8', 'replace')}" if ref.name else ""
    return f"{'!' if ref.exclude else ''}{ref.target.name.lower()}{name}"


def rule_meant(text: str, known: Iterable[str]) -> str:
    """A hint that names a known rule: for a number the nearest of its hundred, since likeness says nothing there."""
    if not text.isdecimal():
        return did_you_mean(text, known)
    near = [name for name in known if name.isdecimal() and name[:-2] == text[:-2]]
    return f"did you mean '{min(near, key=lambda name: abs(int(name) - int(text)))}'?" if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or lists them when there are few; empty when neither helps."""
    words = list(known)
    if near := difflib.get_close_matches(word[:64], words, 1, 0.6):
        return f"did you mean '{near[0]}'?"
    lowered = {w.lower().replace("-", "_"): w for w in words}
    squeezed = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word[:64]).lower().replace("-", "_")
    if squeezed in lowered:
        return f"did you mean '{lowered[squeezed]}'?"
    return f"known: {', '.join(words)}" if 0 < len(words) <= 24 else ""
