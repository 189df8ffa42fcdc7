"""A text written another way: encodings, noise, evasions. Bytes in, bytes out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random

Evasion = Callable[[Random, bytes], bytes]


def some(draw: Random, text: bytes, write: Callable[[int], bytes], share: float = 0.3) -> bytes:
    """Rewrites a share of the bytes, at least one."""
    chosen = {draw.randrange(len(text))} if text else set()
    return b"".join(write(c) if i in chosen or draw.random() < share else bytes([c]) for i, c in enumerate(text))


def inserted(draw: Random, text: bytes, pieces: tuple[bytes, ...]) -> bytes:
    at = draw.randint(0, len(text))
    return text[:at] + draw.choice(pieces) + text[at:]


def percent(draw: Random, text: bytes) -> bytes:
    form = draw.choice(("%%%02x", "%%%02X"))
    return some(draw, text, lambda c: (form % c).encode(), draw.choice((0.1, 0.5, 1.0)))


def percent_twice(draw: Random, text: bytes) -> bytes:
    return percent(draw, text).replace(b"%", b"%25")


def percent_u(draw: Random, text: bytes) -> bytes:
    # Full-width forms become ASCII in the unicode map; overlong and surrogate ones are noise.
    base = draw.choice((0, 0, 0xFF00 - 0x20))
    return some(draw, text, lambda c: b"%%u%04x" % (c + base if 0x20 <= c < 0x7F else c))


def broken_percent(draw: Random, text: bytes) -> bytes:
    return inserted(draw, text, (b"%", b"%%", b"%z1", b"%4", b"%u", b"%u12", b"%uzzzz", b"%G0", b"%2", b"%-1"))


def nulls(draw: Random, text: bytes) -> bytes:
    return inserted(draw, text, (b"%00", b"\x00", b"%2500", b"\\0", b"%u0000", b"%00%00"))


def case(draw: Random, text: bytes) -> bytes:
    return some(draw, text, lambda c: bytes([c]).swapcase(), 0.5)


def blanks(draw: Random, text: bytes) -> bytes:
    kinds = (b"+", b"%20", b"%09", b"%0a", b"%0d%0a", b"%0b", b"%a0", b"%c2%a0", b"/**/", b"%e2%80%83", b"", b"  ")
    return text.replace(b"+", b" ").replace(b"%20", b" ").replace(b" ", draw.choice(kinds))


def comments(draw: Random, text: bytes) -> bytes:
    return inserted(draw, text, (b"/**/", b"/*!50000", b"*/", b"--+", b"%23", b"/*x*/", b"<!--", b"//", b";%00", b"/*"))


def shell_noise(draw: Random, text: bytes) -> bytes:
    return inserted(
        draw, text, (b"'", b'"', b"\\", b"^", b"$u", b"$@", b"''", b"``", b"$()", b"{,", b"?", b"*", b"[a]")
    )


def entities(draw: Random, text: bytes) -> bytes:
    forms = (b"&#x%x;", b"&#%d;", b"&#x%x", b"&#0%d;", b"&#x0000%x;")
    return some(draw, text, lambda c: draw.choice(forms) % c)


def named_entities(draw: Random, text: bytes) -> bytes:
    for plain, name in ((b"<", b"&lt;"), (b">", b"&gt"), (b'"', b"&quot;"), (b"&amp", b"&"), (b":", b"&colon;")):
        if draw.random() < 0.7:
            text = text.replace(plain, name)
    return text + draw.choice((b"", b"&nbsp;", b"&#;", b"&#x;", b"&zz;", b"&tab;"))


def script_escapes(draw: Random, text: bytes) -> bytes:
    forms = (b"\\x%02x", b"\\u%04x", b"\\%03o", b"\\%o", b"\\u{%x}", b"\\%x ")
    return some(draw, text, lambda c: draw.choice(forms) % c)


def overlong(draw: Random, text: bytes) -> bytes:
    return some(draw, text, lambda c: b"%%%02x%%%02x" % (0xC0 | c >> 6, 0x80 | c & 0x3F))


def bad_utf8(draw: Random, text: bytes) -> bytes:
    return inserted(
        draw, text, (b"%ff", b"%c3", b"%c3%28", b"%ed%a0%80", b"%f5%80%80%80", b"\xff\xfe", b"\xc3", b"%80")
    )


def wide(draw: Random, text: bytes) -> bytes:
    """Full-width and other letters that look like or fold to ASCII."""
    return some(draw, text, lambda c: chr(0xFEE0 + c).encode() if 0x21 <= c < 0x7F else bytes([c]))


def base64_text(draw: Random, text: bytes) -> bytes:
    return base64.b64encode(text)[: draw.choice((None, -1))]


def dots(draw: Random, text: bytes) -> bytes:
    pieces = (b"/./", b"//", b"/../", b"\\..\\", b"..%2f", b"%2e%2e/", b"..;/", b"%c0%ae/", b"....//", b"/etc/passwd")
    return inserted(draw, text, pieces)


def repeated(draw: Random, text: bytes) -> bytes:
    return text * draw.randint(2, 8)


def cut(draw: Random, text: bytes) -> bytes:
    return text[: draw.randint(0, len(text))]


EVASIONS: tuple[Evasion, ...] = (
    percent,
    percent_twice,
    percent_u,
    broken_percent,
    nulls,
    case,
    blanks,
    comments,
    shell_noise,
    entities,
    named_entities,
    script_escapes,
    overlong,
    bad_utf8,
    wide,
    base64_text,
    dots,
    repeated,
    cut,
)
