"""A request without its content coding, for an engine that takes the bytes as they are."""

from __future__ import annotations

import zlib
from dataclasses import replace

from .message import Request

# zlib's numbers: a gzip file, a zlib stream, and deflate alone, which many a server takes for deflate.
GZIP, ZLIB, RAW = 31, 15, -15


def whole(body: bytes, kind: int) -> bytes | None:
    """What a single complete stream holds."""
    stream = zlib.decompressobj(kind)
    try:
        text = stream.decompress(body)
    except zlib.error:
        return None
    return text if stream.eof and not stream.unused_data else None


def decoded(request: Request) -> Request | None:
    """The request as it was before it was compressed; itself when it is not said to be, None when it cannot be."""
    coding = (request.header("content-encoding") or b"identity").strip().lower()
    if coding == b"identity":
        return request
    kinds = {b"gzip": (GZIP,), b"x-gzip": (GZIP,), b"deflate": (ZLIB, RAW)}.get(coding, ())
    for kind in kinds:
        text = whole(request.body, kind)
        if text is not None:
            return replace(request, body=text)
    return None
