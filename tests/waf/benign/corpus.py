"""The benign requests, built from the three lists beside this file; the same ones every time.

Every text goes out twice: as a JSON value, and as a form field, a query argument or a multipart part in turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ruamel.yaml import YAML

from ..message import Request, headers, raw

HERE = Path(__file__).parent
FORM = "application/x-www-form-urlencoded"
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
# Fields that such texts are put into.
FIELDS = ("name", "comment", "message", "description", "note", "q", "title", "subject")


@dataclass(frozen=True)
class Benign:
    """`name` says what it is made of: theme, number, place."""

    name: str
    request: Request


def listed(file: str) -> Any:
    return YAML(typ="safe").load((HERE / file).read_text())


@cache
def visits() -> dict[str, list[str]]:
    found: dict[str, list[str]] = listed("visits.yaml")
    return found


def compose(number: int, method: str, uri: str, media: str = "", body: str | bytes = b"", **more: str) -> Request:
    """A request as clients send it; which client, and which cookies come along, goes by its number."""
    agents, cookies = visits()["agents"], visits()["cookies"]
    pairs = [
        ("Host", "shop.example.com"),
        ("User-Agent", agents[number % len(agents)]),
        (
            "Accept",
            "application/json, text/plain, */*" if "json" in media else "text/html,application/xhtml+xml,*/*;q=0.8",
        ),
        ("Accept-Language", ("en-GB,en;q=0.8", "de-DE,de;q=0.9,en;q=0.5", "ja")[number % 3]),
        ("Accept-Encoding", "gzip, deflate, br"),
        *((name.replace("_", "-"), value) for name, value in more.items()),
    ]
    if number % 4 == 0:
        pairs.append(("Cookie", cookies[number // 4 % len(cookies)]))
    if number % 5 == 0:
        pairs.append(
            ("Referer", "https://shop.example.com" + quote(visits()["uris"][number % 50], safe="/?&=%+$,;:@()~.-_|"))
        )
    if media:
        pairs += [("Content-Type", media), ("Content-Length", str(len(raw(body))))]
    return Request(method, raw(quote(uri, safe="/?&=%+$,;:@()~.-_|!*'")), headers(pairs), raw(body))


def part(field: str, content: str, file: str = "") -> str:
    name = f'; filename="{file}"\r\nContent-Type: application/octet-stream' if file else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n{content}\r\n'


def multipart(number: int, uri: str, *parts: str) -> Request:
    return compose(
        number, "POST", uri, f"multipart/form-data; boundary={BOUNDARY}", f"{''.join(parts)}--{BOUNDARY}--\r\n"
    )


def placed(number: int, text: str) -> Iterator[tuple[str, Request]]:
    """One text as (place, request)."""
    field = FIELDS[number % len(FIELDS)]
    body = json.dumps({"id": number, field: text, "tags": ["a", "b"]}, ensure_ascii=number % 2 == 0)
    yield "json", compose(number, "POST", "/api/v1/messages", "application/json", body)
    if number % 3 == 0:
        yield (
            "form",
            compose(number, "POST", "/contact", FORM, urlencode({"csrf": "a1b2c3", field: text, "send": "Send"})),
        )
    elif number % 3 == 1:
        yield "query", compose(number, "GET", "/search?" + urlencode({field: text, "page": 1}))
    else:
        yield "multipart", multipart(number, "/contact", part("csrf", "a1b2c3"), part(field, text))


@cache
def corpus() -> tuple[Benign, ...]:
    out: list[Benign] = []
    for theme, texts in listed("texts.yaml").items():
        assert all(isinstance(text, str) for text in texts), f"{theme}: quote what is not a text to YAML"
        for index, text in enumerate(texts, 1):
            out += [Benign(f"{theme} {index} {place}", request) for place, request in placed(len(out) // 2, text)]
        if theme == "paths":
            for index, file in enumerate(texts, 1):
                name = file.replace("\\", "/").rpartition("/")[2]
                out.append(
                    Benign(f"upload {index}", multipart(index, "/upload", part("file", "\x00\x01PNG data\r\n", name)))
                )
    for body in listed("bodies.yaml"):
        text = json.dumps(body["json"], ensure_ascii=False) if "json" in body else body["text"]
        media = body.get("type", "application/json")
        out.append(Benign(body["name"], compose(len(out), body.get("method", "POST"), body["uri"], media, text)))
    out += [Benign(f"visit {uri}", compose(number, "GET", uri)) for number, uri in enumerate(visits()["uris"])]
    for number, cookie in enumerate(visits()["cookies"]):
        out.append(Benign(f"cookies {number}", compose(4 * number + 1, "GET", "/account", Cookie=cookie)))
    for number, agent in enumerate(visits()["agents"]):
        out.append(Benign(f"agent {agent}", compose(number, "GET", "/", X_Requested_With="XMLHttpRequest")))
    return tuple(out)
