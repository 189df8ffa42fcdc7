"""Answers as their bytes come: in pieces of any size, framed in any proper way, and in none that means two things."""

from __future__ import annotations

import random

import pytest

from ratelimitd.client.http1 import MAX_BODY, MAX_HEAD, Answer, AnswerError, question

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GOOD = {
    "counted": (HEAD + b"Content-Length: 2\r\n\r\n{}", True),
    "counted twice alike": (HEAD + b"content-length: 2, 2\r\n\r\n{}", True),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: x\r\n\r\n", True),
    "to the end": (HEAD + b"\r\n{}", False),
    "closed": (HEAD + b"Connection: Close\r\nContent-Length: 2\r\n\r\n{}", False),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", False),
    "1.0 kept": (b"HTTP/1.0 200\r\nConnection: x, keep-alive\r\nContent-Length: 2\r\n\r\n{}", True),
    "after others": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\na: b\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}",
        True,
    ),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_answers_in_pieces(name: str, step: int) -> None:
    text, keeps = GOOD[name]
    answer = Answer()
    said = [answer.feed(text[at : at + step]) for at in range(0, len(text), step)]
    assert not any(said[:-1])
    assert said[-1] or answer.feed(b"")
    assert (answer.status, bytes(answer.body), answer.keeps) == (200, b"{}", keeps)


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(status: int) -> None:
    answer = Answer()
    assert answer.feed(b"HTTP/1.1 %d x\r\n\r\n" % status)
    assert (answer.status, answer.body, answer.keeps) == (status, b"", True)


def test_who_says_more_than_was_asked_is_not_asked_again() -> None:
    answer = Answer()
    assert answer.feed(GOOD["counted"][0] + b"HTTP/1.1 200 OK\r\n")
    assert (bytes(answer.body), answer.keeps) == (b"{}", False)


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        HEAD + b"no header\r\n\r\n",
        HEAD + b"Content-Length : 2\r\n\r\n{}",
        HEAD + b"a: b\r\n c\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 300,
        HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        HEAD + b"\r\n" + b" " * (MAX_BODY + 1),
        HEAD + b"x" * MAX_HEAD,
    ],
    ids=lambda text: repr(text[-30:]),
)
def test_what_is_no_answer(text: bytes) -> None:
    answer = Answer()
    with pytest.raises(AnswerError):
        [answer.feed(data) for data in (text, b"")]


@pytest.mark.parametrize("name", GOOD)
def test_what_ends_too_early(name: str) -> None:
    text, _ = GOOD[name]
    for size in range(1, len(text)):
        answer = Answer()
        answer.feed(text[:size])
        if name == "to the end" and text[:size].startswith(HEAD + b"\r\n"):
            continue
        with pytest.raises(AnswerError, match="too early"):
            answer.feed(b"")


def test_whatever_comes_it_ends() -> None:
    """Answers with errors: no other exception, no memory beyond the bounds, and never a body that is not whole."""
    chance = random.Random(3)
    texts = [text for text, _ in GOOD.values()]
    for _ in range(5000):
        broken = bytearray(chance.choice(texts))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(broken))
            broken[at : at + chance.randint(0, 2)] = chance.choice([b"", b"\r", b"\n", b":", b"0", b"\xff", b"chunked"])
        answer = Answer()
        try:
            if not answer.feed(bytes(broken)):
                answer.feed(b"")
        except AnswerError:
            continue
        assert answer.is_whole
        assert len(answer.body) <= len(broken)


def test_a_question() -> None:
    assert question("h:1", "/v1/check", b"{}") == (
        b"POST /v1/check HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        b"User-Agent: ratelimitd-client\r\n\r\n{}"
    )
