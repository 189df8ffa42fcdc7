"""From a tree of nodes to the models, or to diagnostics in our own words at the places they are about."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ratelimitd.errors import Diagnostic
from ratelimitd.policy.fields import kind_of, quote_hint
from ratelimitd.policy.names import did_you_mean
from ratelimitd.policy.nodes import Document, Node, Path

Model = TypeVar("Model", bound=BaseModel)

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
}
_RANGES = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "string_too_long": ("at most {} characters", "max_length"),
}
_NO_VALUE = "give one, or remove it"
MAX_REPORTED = 200  # diagnostics of one file


@dataclass(frozen=True, slots=True)
class Flaw:
    """What keeps a part of a document from its shape. `diagnostic` is None when another flaw says it better."""

    path: Path  # of the value, or of the key that is not there
    diagnostic: Diagnostic | None
    missing: bool = False
    unknown: bool = False  # the key is none of ours ...
    meant: str | None = None  # ... and a misspelling of this one


def shape(document: Document, model: type[Model]) -> Model | list[Diagnostic]:
    """The document as a model, or everything that keeps it from being one."""
    result, flaws = examine(document, model)
    diagnostics = [*document.diagnostics, *told(flaws)]
    return diagnostics if diagnostics or result is None else result


def examine(document: Document, model: type[Model]) -> tuple[Model | None, list[Flaw]]:
    """The model, and what keeps the document from being one."""
    flaws = [
        Flaw(path, document.diagnostic("P202", f"'{path[-1]}' has no value", path, hint=_NO_VALUE, key=True))
        for path in nothings(document.root, ())
    ]
    try:
        result = model.model_validate(document.root.data())
    except ValidationError as error:
        return None, [*flaws, *flaws_of(document, model, error.errors(include_url=False))]
    return result, flaws


def flaws_of(document: Document, model: type[BaseModel], found: list[ErrorDetails]) -> Iterator[Flaw]:
    unknown = [tuple(details["loc"]) for details in found if details["type"] == "extra_forbidden"]
    meant = {path: meant_by(str(path[-1]), keys_of(model_at(model, path[:-1]))) for path in unknown}
    misspelled = {(*path[:-1], word) for path, word in meant.items() if word}
    for details in found:
        path, missing = tuple(details["loc"]), details["type"] == "missing"
        untold = details["input"] is None or (missing and path in misspelled)
        diagnostic = None if untold else translate(document, model, details)
        if path and path[-1] == "[key]":
            yield Flaw(path[:-1], diagnostic, unknown=True)
        else:
            yield Flaw(path, diagnostic, missing, path in meant, meant.get(path))


def meant_by(word: str, known: list[str]) -> str | None:
    """The key that a misspelled one stands for, when that is beyond doubt."""
    return next(iter(difflib.get_close_matches(word[:64], known, 1, 0.8)), None)


def told(flaws: Iterable[Flaw]) -> list[Diagnostic]:
    """By place, each once, and not more than anybody reads."""
    unique = dict.fromkeys(flaw.diagnostic for flaw in flaws if flaw.diagnostic)
    return sorted(
        unique, key=lambda d: (d.position.file, d.position.line, d.position.column) if d.position else ("", 0, 0)
    )[:MAX_REPORTED]


def nothings(node: Node, path: Path) -> Iterator[Path]:
    """Where a key has no value: never meant, and easily overlooked."""
    if node.items is not None:
        for key, (_, value) in node.items.items():
            yield from nothings(value, (*path, key))
    elif node.children is not None:
        for index, child in enumerate(node.children):
            yield from nothings(child, (*path, index))
    elif node.value is None:
        yield path


def translate(document: Document, model: type[BaseModel], details: ErrorDetails) -> Diagnostic:
    kind, path, context = details["type"], tuple(details["loc"]), details.get("ctx", {})
    on_key = bool(path) and path[-1] == "[key]"
    if on_key:
        path = path[:-1]
    value = details["input"]
    if kind.startswith("P"):
        return document.diagnostic(kind, str(context["message"]), path, hint=str(context["hint"]), key=on_key)
    if kind == "extra_forbidden":
        known = keys_of(model_at(model, path[:-1]))
        return document.diagnostic(
            "P203", f"unknown key '{str(path[-1])[:64]}'", path, hint=did_you_mean(str(path[-1]), known), key=True
        )
    if kind == "missing":
        return document.diagnostic(
            "P201", f"missing key '{path[-1]}'", path[:-1], hint=described(model, path), key=True
        )
    if kind in _WANTED:
        hint = quote_hint(value) if kind == "string_type" else unquote_hint(kind, value)
        return document.diagnostic("P202", f"expected {_WANTED[kind]}, got {kind_of(value)}", path, hint=hint)
    if kind in _RANGES:
        words, bound = _RANGES[kind]
        limit = context[bound]
        said = words.format(limit) if "{}" in words else f"{words} {limit}"
        got = "" if kind == "string_too_long" else f", got {str(value)[:40]}"
        return document.diagnostic("P205", f"'{name_of(path)}' must be {said}{got}", path)
    if kind == "literal_error":
        known = [str(word).strip("'") for word in literals(model, path)]
        message = f"{kind_of(value)} is not allowed for '{name_of(path)}'"
        return document.diagnostic("P204", message, path, hint=did_you_mean(str(value), known))
    return document.diagnostic("P206", details["msg"], path)


def unquote_hint(kind: str, value: object) -> str:
    """Text where a number, or true or false, is meant."""
    if not isinstance(value, str):
        return ""
    if kind == "int_type" and value.isdecimal():
        return "remove the quotes"
    booleans = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
    return f"write {booleans[value.lower()]}" if kind == "bool_type" and value.lower() in booleans else ""


def name_of(path: Path) -> str:
    """The last step that is a key."""
    return next((str(step) for step in reversed(path) if isinstance(step, str)), "this")


def keys_of(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _bare(annotation: Any) -> Any:
    """Without Annotated and `| None`."""
    while True:
        origin = typing.get_origin(annotation)
        if origin is Annotated:
            annotation = typing.get_args(annotation)[0]
        elif origin in (typing.Union, types.UnionType):
            annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
        else:
            return annotation


def annotation_at(model: type[BaseModel], path: Path) -> Any:
    """The type that the models give to what stands at path; None when they know no such place."""
    current: Any = model
    for step in path:
        current = _bare(current)
        arguments = typing.get_args(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
            current = fields.get(str(step))
        elif typing.get_origin(current) is list:
            current = arguments[0]
        elif typing.get_origin(current) is dict:
            current = arguments[1]
        else:
            return None
    return _bare(current)


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    found = annotation_at(model, path)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def literals(model: type[BaseModel], path: Path) -> tuple[Any, ...]:
    found = annotation_at(model, path)
    return typing.get_args(found) if typing.get_origin(found) is typing.Literal else ()


def described(model: type[BaseModel], path: Path) -> str:
    """What the missing key is for."""
    parent = model_at(model, path[:-1])
    field = parent.model_fields.get(str(path[-1])) if parent else None
    return (field.description or "").rstrip(".") if field else ""
