"""The hits and misses of the built-in rules, as requests.

A case is a text, which becomes the field of a form, or a mapping that says where it stands: `path`, `method`, `name`
(of a field), `json`, `xml`, `multipart` (a body with the boundary b), `file` (the name of an upload), `header`, and
`twice` (a header with two values).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ruamel.yaml import YAML

from ..message import Request, headers, raw

Case = str | dict[str, Any]
HERE = Path(__file__).parent
FORM = "application/x-www-form-urlencoded"
BROWSER = {"Host": "shop.example.com", "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/128.0"}


@cache
def cases() -> dict[int, dict[str, list[Case]]]:
    """By rule: `hits` and `misses`."""
    found: dict[int, dict[str, list[Case]]] = {}
    for file in sorted(HERE.glob("*.yaml")):
        for rule, case in YAML(typ="safe").load(file.read_text()).items():
            assert rule not in found, f"{file.name}: {rule} stands there twice"
            found[rule] = case
    return found


def posted(media: str, body: str | bytes, extra: dict[str, str]) -> Request:
    pairs = {**BROWSER, "Content-Type": media, "Content-Length": str(len(raw(body))), **extra}
    return Request("POST", b"/", headers(pairs.items()), raw(body))


def field(text: str) -> str:
    """A form's one field; percent signs stand, so that a case may be encoded already."""
    return "v=" + quote(text, safe="%+")


def upload(name: str) -> str:
    head = f'Content-Disposition: form-data; name="f"; filename="{name}"\r\nContent-Type: application/octet-stream'
    return f"--b\r\n{head}\r\n\r\nx\r\n--b--\r\n"


def request_of(case: Case) -> Request:
    if isinstance(case, str):
        return posted(FORM, field(case), {})
    extra = {name: str(value) for name, value in case.get("header", {}).items()}
    if "name" in case:
        return posted(FORM, quote(case["name"]) + "=1", extra)
    if "json" in case:
        return posted("application/json", json.dumps(case["json"]), extra)
    if "xml" in case:
        return posted("application/xml", case["xml"], extra)
    if "multipart" in case or "file" in case:
        return posted("multipart/form-data; boundary=b", case.get("multipart") or upload(case["file"]), extra)
    pairs = [(name, value) for name, value in {**BROWSER, **extra}.items() if name not in case.get("twice", {})]
    pairs += [(name, value) for name, values in case.get("twice", {}).items() for value in values]
    return Request(case.get("method", "GET"), raw(case.get("path", "/")), headers(pairs))
