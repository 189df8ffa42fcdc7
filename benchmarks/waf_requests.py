"""The seeded requests of the WAF benchmark: five benign ones and an attack, the same for every engine.

python -m benchmarks.waf_requests FILE   writes them as JSON, bodies in base64, for engines in other languages
"""

from __future__ import annotations

import base64
import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

SEED = 20_240_502
PROSE = """
order customer street garden blue window return price delivery morning paper small large green table invoice
family market summer winter bottle coffee lamp bicycle kitchen travel letter number account payment friend
"""
WORDS = PROSE.split()
BROWSER = (
    ("Host", "shop.example.com"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.8,de;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cookie", "session=3f9a1c52e07b4d6e9b21; theme=dark; consent=2024-05-01"),
)


@dataclass(frozen=True)
class Request:
    """`benign` ones must pass every engine at paranoia 1, the other must not."""

    name: str
    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    benign: bool = True


def prose(draw: random.Random, length: int) -> str:
    """Words of exactly `length` characters."""
    text = ""
    while len(text) < length:
        text += draw.choice(WORDS) + " "
    return text[: length - 1] + "s" if length else ""


def post(name: str, uri: str, media: str, body: bytes, benign: bool = True) -> Request:
    headers = (*BROWSER, ("Content-Type", media), ("Content-Length", str(len(body))))
    return Request(name, "POST", uri, headers, body, benign)


def form(draw: random.Random, fields: int, size: int) -> bytes:
    """`fields` urlencoded fields of `size` bytes together."""
    pairs = [(f"{draw.choice(WORDS)}_{n:02}", prose(draw, size // fields - 15)) for n in range(fields)]
    short = size - len(urlencode(pairs))
    pairs[-1] = (pairs[-1][0], pairs[-1][1] + "s" * short)
    return urlencode(pairs).encode()


def document(draw: random.Random, size: int) -> bytes:
    """A JSON object of records, `size` bytes."""
    records: list[dict[str, Any]] = []

    def text(note: str = "") -> bytes:
        return json.dumps({"cart": "c-102938", "note": note, "items": records}).encode()

    while True:
        item = {
            "id": draw.randrange(10**6),
            "name": prose(draw, 24),
            "price": draw.randrange(1, 9999) / 100,
            "gift": False,
        }
        if len(text()) + len(json.dumps(item)) + 2 > size:
            return text(prose(draw, size - len(text())))
        records.append(item)


def upload(draw: random.Random, size: int) -> tuple[str, bytes]:
    """A multipart form of one field and one file of `size` bytes: (media type, body)."""
    boundary = "----form7MA4YWxkTrZu0gW"
    part = f"--{boundary}\r\nContent-Disposition: form-data; name="
    title = f'{part}"title"\r\n\r\n{prose(draw, 20)}\r\n'
    photo = f'{part}"photo"; filename="garden.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return f"multipart/form-data; boundary={boundary}", (
        f"{title}{photo}".encode() + draw.randbytes(size) + f"\r\n--{boundary}--\r\n".encode()
    )


def requests() -> tuple[Request, ...]:
    draw = random.Random(SEED)
    attack = urlencode({"user": "admin", "comment": "1' UNION SELECT username, password FROM users-- -"}).encode()
    return (
        Request("GET, 2 arguments", "GET", "/shop/v1/orders?page=2&sort=price", BROWSER),
        post("form, 900 bytes", "/shop/v1/profile", "application/x-www-form-urlencoded", form(draw, 20, 900)),
        post("JSON, 600 bytes", "/shop/v1/cart", "application/json", document(draw, 600)),
        post("JSON, 16 KB", "/shop/v1/cart", "application/json", document(draw, 16 * 1024)),
        post("upload, 100 KB", "/shop/v1/photos", *upload(draw, 100 * 1024)),
        post("attack", "/shop/v1/comments", "application/x-www-form-urlencoded", attack, benign=False),
    )


def write(file: Path) -> None:
    """The requests as a JSON list of {name, method, uri, headers, body, benign}."""
    rows = [{**vars(r), "body": base64.b64encode(r.body).decode()} for r in requests()]
    file.write_text(json.dumps(rows))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
