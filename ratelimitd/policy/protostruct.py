"""Plain data as a google.protobuf.Struct, in protobuf's wire format: what Envoy calls dynamic metadata.

https://protobuf.dev/programming-guides/encoding/ and google/protobuf/struct.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

MAX_METADATA = 16 * 1024  # bytes of what a limit tells


def encode_struct(fields: Mapping[str, Any]) -> bytes:
    """A Struct: map<string, Value> fields = 1."""
    return b"".join(_message(1, _text(1, key) + _message(2, encode_value(value))) for key, value in fields.items())


def encode_value(value: Any) -> bytes:
    """A Value: null 1, number 2, string 3, bool 4, struct 5, list 6."""
    if value is None:
        return b"\x08\x00"
    if isinstance(value, bool):
        return b"\x20\x01" if value else b"\x20\x00"
    if isinstance(value, int | float):
        return b"\x11" + struct.pack("<d", value)
    if isinstance(value, str):
        return _text(3, value)
    if isinstance(value, Mapping):
        return _message(5, encode_struct(value))
    return _message(6, b"".join(_message(1, encode_value(item)) for item in value))


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "replace"))


def _message(field: int, content: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
