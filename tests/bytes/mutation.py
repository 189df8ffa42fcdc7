"""Seeded mutations of byte strings, for comparing a reader with the truth on inputs that nobody would write."""

from __future__ import annotations

import random


def mutate(random: random.Random, text: bytes, tokens: list[bytes], bytes_allowed: range = range(256)) -> bytes:
    """The text after one to four edits: a token or a byte put in, a piece cut out, copied or moved."""
    out = bytearray(text)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(out))
        to = min(len(out), at + random.choice((1, 1, 2, 3, 8, 20)))
        match random.randint(0, 6):
            case 0 | 1:
                out[at:at] = random.choice(tokens)
            case 2:
                out[at:to] = b""
            case 3:
                out[at : at + 1] = bytes((random.choice(bytes_allowed),))
            case 4:
                out[at:to] = random.choice(tokens)
            case 5:
                place = random.randint(0, len(out))
                out[place:place] = out[at:to]
            case _:
                out = out[:at]
    return bytes(out)
