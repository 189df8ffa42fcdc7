"""What a match asks for."""

from __future__ import annotations

from ratelimitd.policy import globs, names, units
from ratelimitd.policy.checks.findings import Findings
from ratelimitd.policy.nodes import Path
from ratelimitd.policy.patterns import whole_value_error
from ratelimitd.policy.plan import Source
from ratelimitd.policy.schema import ConditionSpec

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
TEXT_OPERATORS = ("any", "exact", "prefix", "suffix", "glob", "regex")
ADDRESSES = (Source.CLIENT_IP, Source.HEADER, Source.COOKIE, Source.QUERY, Source.ATTRIBUTE)


def check_match(f: Findings, match: list[dict[str, ConditionSpec]] | None, path: Path) -> None:
    if match is None:
        return
    if not match and f.whole(path):
        f.error("P306", "matches nothing", path, "remove the key to match everything", key=True)
    for index, mapping in enumerate(match):
        for key, condition in mapping.items():
            parsed = names.parse_source(key, key=False)
            if parsed:
                check_condition(f, parsed[0], condition, (*path, index, key))


def operators_of(condition: ConditionSpec) -> list[tuple[str, list[str]]]:
    """The operators of a condition that are set, with their alternatives."""
    found = ((name, getattr(condition, name)) for name in (*TEXT_OPERATORS, "cidr"))
    return [(name, values) for name, values in found if values is not None]


def check_condition(
    f: Findings, source: Source, condition: ConditionSpec, path: Path, *, negated: bool = False
) -> None:
    operators = operators_of(condition)
    count = len(operators) + (condition.present is not None) + (condition.not_ is not None)
    if count == 0 and f.whole(path):
        f.error(
            "P306",
            "a condition without an operator",
            path,
            f"one of {', '.join(names.OPERATORS)}, present, not",
            key=True,
        )
    if condition.present is False and count > 1:
        f.error("P306", "present: false excludes every other operator", (*path, "present"))
    for operator, values in operators:
        check_values(f, source, operator, values, condition, (*path, operator))
    if condition.not_ is None:
        return
    inner = condition.not_
    if negated or inner.not_ is not None or inner.present is not None:
        f.error("P306", "`not` takes operators for values only", (*path, "not"), "write several conditions", key=True)
    else:
        check_condition(f, source, inner, (*path, "not"), negated=True)


def check_values(
    f: Findings, source: Source, operator: str, values: list[str], condition: ConditionSpec, path: Path
) -> None:
    if not values and f.whole(path):
        f.error("P306", "no value to compare with", path)
    if operator == "cidr" and source not in ADDRESSES:
        f.error(
            "P307",
            "cidr compares addresses only",
            path,
            "use it on client.ip, a header, cookie, query parameter or attribute",
        )
    if source is Source.CLIENT_IP and operator not in ("any", "cidr"):
        f.error("P307", f"client.ip is compared by network, not by {operator}", path, "list networks or addresses")
        return
    for index, value in enumerate(values):
        check_value(f, source, operator, value, condition, (*path, index))


def check_value(f: Findings, source: Source, operator: str, value: str, condition: ConditionSpec, path: Path) -> None:
    if source is Source.CLIENT_IP and operator == "any":
        try:
            units.parse_network(value)
        except units.HostBitsError as error:
            f.error("P207", str(error), path, f"write {error.fixed}")
        except ValueError as error:
            f.error("P207", str(error), path)
        return
    if operator == "regex":
        if message := whole_value_error(value):
            f.error("P305", f"bad pattern: {message}", path)
        return
    if not value and operator in ("prefix", "suffix", "glob"):
        f.error("P306", f"an empty {operator} holds for everything", path, "use present: true")
    if operator in ("any", "glob") and len(value.encode("utf-8", "surrogatepass")) >= globs.MAX_BYTES:
        f.error("P205", f"a glob has less than {globs.MAX_BYTES} bytes", path)
    if source in (Source.PATH, Source.RAW_PATH):
        check_path(f, source, operator, value, path)
    miswritten = source is Source.METHOD and value.upper() in METHODS and value != value.upper()
    if miswritten and not condition.ignore_case and f.whole((*path[:-2], "ignore_case")):
        f.warning("P401", f"methods are case-sensitive: '{value}' never comes", path, f"write {value.upper()}")
    if source is Source.HOST and operator in ("any", "exact") and ":" in value and not value.startswith("["):
        f.warning(
            "P404",
            f"'{value}' never matches: host is compared without its port",
            path,
            f"write {value.partition(':')[0]}",
        )


def check_path(f: Findings, source: Source, operator: str, value: str, path: Path) -> None:
    if operator in ("any", "glob") and (message := globs.path_problem(value)):
        f.error("P317", message, path)
        return
    if operator in ("exact", "prefix") and not value.startswith("/"):
        f.error("P317", "a path begins with '/'", path)
        return
    if "?" in value:
        f.warning(
            "P404", f"'{value}' never matches: the path is compared without the query", path, "match query.<name>"
        )
    elif source is Source.PATH and ("%" in value or "//" in value or "/../" in value or "/./" in value):
        f.warning(
            "P404",
            f"'{value}' never matches: path is compared decoded and normalised",
            path,
            "use raw_path for the path as sent",
        )
