"""Field types of the policy file: what one value may look like, and the error that says so.

A `PydanticCustomError` whose type is one of our codes becomes that diagnostic; its context may hold a `hint`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, StrictInt, StrictStr, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from ratelimitd.policy import names, units

TEXT_MAX = 4096
_NUMBERS = re.compile(r"[0-9]+-[0-9]+\Z")
_DOMAIN = re.compile(r"[!-~]{1,128}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def problem(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """An error with one of our codes. Braces in the message would be read as a template."""
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint})


def _parsed(parse: Callable[[str], Any], unit: str = "") -> Callable[[Any], Any]:
    """A validator of text that `parse` reads. A bare number is told which `unit` it may have meant."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            hint = f"add a unit, like {value}{unit}" if number and unit and len(str(value)) < 16 else ""
            raise problem("P202", f"expected text, got {kind_of(value)}", hint)
        try:
            return parse(value)
        except ValueError as error:
            raise problem("P206", str(error)) from None

    return validate


def kind_of(value: Any) -> str:
    """A value in words, for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {str(value)[:40]}"
    if isinstance(value, str):
        return f"the text '{value[:40]}'"
    return "a list" if isinstance(value, list) else "a mapping"


def quote_hint(value: Any) -> str:
    return "put quotes around it" if isinstance(value, int | float) else ""


def _version(value: Any) -> Any:
    if isinstance(value, bool) or value != 1:
        raise problem("P204", f"no such version: {kind_of(value)}", "write `version: 1`")
    return 1


def _size(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise problem("P202", f"expected a size, got {kind_of(value)}")
    return _parsed(units.parse_size)(str(value))


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise problem("P206", f"'{value[:64]}' is not a name", "letters, digits, '.', '_' and '-', at most 64")
    return value


def _domain(value: str) -> str:
    if not _DOMAIN.match(value):
        raise problem("P206", f"'{value[:64]}' is not a domain's name", "printable ASCII without spaces, at most 128")
    return value


def listed(value: Any) -> Any:
    """One thing may stand for a list of one."""
    return value if isinstance(value, list) else [value]


def _id(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _span(value: str) -> str:
    if names.parse_span(value) is None and _NUMBERS.match(value):
        raise problem("P206", f"'{value[:64]}' is not a range of rule ids", "from the lower to the higher")
    return value


def _excluded(value: str) -> str:
    ref = names.parse_excluded(value)
    if ref is None:
        kind = value.partition(":")[0]
        hint = "without the '!': all of these are left out" if kind.startswith("!") else ""
        raise problem("P204", f"unknown target '{value[:64]}'", hint or names.did_you_mean(kind, names.TARGETS))
    return value


def _text(value: Any) -> Any:
    """Text must be quoted where YAML would read a number: 1.10 and 007 would not survive."""
    if not isinstance(value, str):
        raise problem("P202", f"expected text, got {kind_of(value)}", quote_hint(value))
    return value


def _networks(value: str) -> str:
    """Checked where it stands; the plan's form is made by the compiler. Host bits are an error with the fixed form."""
    try:
        units.parse_network(value)
    except units.HostBitsError as error:
        raise problem("P207", str(error), f"write {error.fixed}") from None
    except ValueError as error:
        raise problem("P207", str(error)) from None
    return value


def _key_part(value: str) -> str:
    if names.parse_source(value, key=True) is None:
        raise problem(
            "P204", f"unknown key part '{value[:64]}'", source_hint(value, names.KEY_PARTS, names.KEY_SOURCES)
        )
    return value


def _match_key(value: str) -> str:
    if names.parse_source(value, key=False) is None:
        raise problem("P203", f"unknown key '{value[:64]}'", source_hint(value, names.MATCH_KEYS, names.NAMED_SOURCES))
    return value


def source_hint(value: str, known: list[str], kinds: dict[str, Any]) -> str:
    kind, dot, name = value.partition(".")
    if not dot:
        if value in kinds:
            return f"write {value}.<name>"
        if value in ("ip", "client", "client_ip", "address", "remote_address"):
            return "did you mean 'client.ip'?"
    elif kind not in kinds and name:
        near = names.did_you_mean(kind, kinds)
        if near.startswith("did you mean '"):
            return near[:-2] + f".{name}'?"
    return names.did_you_mean(value, known)


def _objector(value: str) -> str:
    if names.parse_objector(value) is None:
        raise problem("P204", f"unknown '{value[:64]}'", names.did_you_mean(value, names.OBJECTORS))
    return value


def _target(value: str) -> str:
    if names.parse_target(value) is None:
        kind = value.lstrip("!").partition(":")[0]
        raise problem("P204", f"unknown target '{value[:64]}'", names.did_you_mean(kind, names.TARGETS))
    return value


def _word(known: dict[str, Any], what: str) -> BeforeValidator:
    """One of the known words."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            hint = "write off" if value is False and "off" in known else names.did_you_mean("", known)
            raise problem("P202", f"expected text, got {kind_of(value)}", hint)
        if value not in known:
            raise problem("P204", f"unknown {what} '{value[:64]}'", names.did_you_mean(value, known))
        return value

    return BeforeValidator(validate)


def _enum(known: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(known)})


class MatchKeys:
    """JSON Schema of a match: the plain sources by name, the others by pattern, so that an editor completes them."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        value = schema.pop("additionalProperties", {})
        schema.pop("patternProperties", None)
        schema["properties"] = dict.fromkeys(names.PLAIN_SOURCES, value)
        schema["patternProperties"] = {rf"^({'|'.join(names.NAMED_SOURCES)})\..+$": value}
        schema["additionalProperties"] = False
        return schema


_DURATION = {
    "type": "string",
    "pattern": r"^([0-9]+(ms|s|m|h|d|w))+$",
    "examples": ["250ms", "30s", "5m", "1h30m", "1d"],
}
_RATE = {"type": "string", "pattern": r"^[0-9]+ */ *([0-9]*(ms|s|m|h|d|w))+$", "examples": ["500/s", "10/m", "1000/1h"]}
_SIZE = {"type": ["integer", "string"], "pattern": r"^[0-9]+ *(B|KiB|MiB)?$", "examples": ["128KiB", 4096]}
_PART = {
    "type": "string",
    "anyOf": [{"enum": list(names.PLAIN_SOURCES)}, {"pattern": rf"^({'|'.join(names.KEY_SOURCES)})\..+$"}],
    "examples": ["client.ip", "header.x-api-key", "path.user"],
}

Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str), Field(max_length=TEXT_MAX)]
Name = Annotated[
    str,
    BeforeValidator(_text, json_schema_input_type=str),
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}),
]
DomainName = Annotated[
    str,
    BeforeValidator(_text, json_schema_input_type=str),
    AfterValidator(_domain),
    WithJsonSchema({"type": "string", "pattern": "^[!-~]{1,128}$"}),
]
RuleId = Annotated[
    str,
    BeforeValidator(_id),
    AfterValidator(_name),
    WithJsonSchema({"type": ["integer", "string"], "examples": [100001, "no-log4j"]}),
]
RuleSpan = Annotated[
    str,
    BeforeValidator(_id),
    AfterValidator(_name),
    AfterValidator(_span),
    WithJsonSchema({"type": ["integer", "string"], "examples": [942100, "920000-920999", "no-log4j"]}),
]
Duration = Annotated[int, BeforeValidator(_parsed(units.parse_duration, "s")), WithJsonSchema(_DURATION)]
Durations = Annotated[list[Duration], BeforeValidator(listed, json_schema_input_type=Duration | list[Duration])]
RateText = Annotated[tuple[int, int], BeforeValidator(_parsed(units.parse_rate, "/s")), WithJsonSchema(_RATE)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0, le=16 * 1024 * 1024), WithJsonSchema(_SIZE)]
Network = Annotated[Text, AfterValidator(_networks)]
KeyPartText = Annotated[Text, AfterValidator(_key_part), WithJsonSchema(_PART)]
ObjectorText = Annotated[
    Text,
    AfterValidator(_objector),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [{"enum": ["limits", "scan"]}, {"pattern": r"^limit\..+$"}],
            "examples": ["limits", "scan", "limit.login"],
        }
    ),
]
MatchKey = Annotated[str, AfterValidator(_match_key)]
TargetText = Annotated[
    Text,
    AfterValidator(_target),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [
                {"enum": list(names.TARGETS)},
                {"pattern": "^!?(args?|headers?|cookies?):.+$"},
                {"pattern": "^!"},
            ],
            "examples": ["args", "headers:user-agent", "!args:password"],
        }
    ),
]
ExcludedText = Annotated[
    Text,
    AfterValidator(_excluded),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [
                {"enum": list(names.TARGETS)},
                {"pattern": "^(args?|args_names|headers?|headers_names|cookies?|cookies_names):.+$"},
            ],
            "examples": ["args:password", "cookies:session_*", "body"],
        }
    ),
]
TransformationName = Annotated[str, _word(names.TRANSFORMATIONS, "transformation"), _enum(names.TRANSFORMATIONS)]
AlgorithmName = Annotated[str, _word(names.ALGORITHMS, "algorithm"), _enum(names.ALGORITHMS)]
ScanModeName = Annotated[str, _word(names.SCAN_MODES, "scan mode"), _enum(names.SCAN_MODES)]
HeadersName = Annotated[str, _word(names.HEADER_FAMILIES, "header family"), _enum(names.HEADER_FAMILIES)]
ModeName = Annotated[str, _word(names.MODES, "mode"), _enum(names.MODES)]
RuleModeName = Annotated[str, _word(names.RULE_MODES, "rule mode"), _enum(names.RULE_MODES)]
Paranoia = Annotated[StrictInt, Field(ge=1, le=4)]
Threshold = Annotated[StrictInt, Field(ge=1, le=100_000)]

Count = Annotated[StrictInt, Field(ge=0, le=units.MAX_COUNT)]
PositiveCount = Annotated[StrictInt, Field(ge=1, le=units.MAX_COUNT)]
Status = Annotated[StrictInt, Field(ge=400, le=599)]
Texts = Annotated[list[Text], BeforeValidator(listed, json_schema_input_type=StrictStr | list[StrictStr])]
Networks = Annotated[list[Network], BeforeValidator(listed, json_schema_input_type=StrictStr | list[StrictStr])]
Version = Annotated[int, BeforeValidator(_version), WithJsonSchema({"const": 1})]
