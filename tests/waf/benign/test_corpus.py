"""The corpus is large, the same every time, and made of requests that a client could send."""

from __future__ import annotations

from .corpus import corpus


def test_size() -> None:
    assert len(corpus()) >= 400
    assert len({benign.name for benign in corpus()}) == len(corpus())
    assert len({benign.request for benign in corpus()}) == len(corpus())


def test_every_request_is_well_formed() -> None:
    for benign in corpus():
        request = benign.request
        assert request.header("host"), benign.name
        assert all(0x21 <= byte < 0x7F for byte in request.uri), benign.name
        if request.body:
            assert int(request.header("content-length") or b"-1") == len(request.body), benign.name
        for name, value in request.headers:
            assert not set(value) & set(b"\r\n\x00"), (benign.name, name)
