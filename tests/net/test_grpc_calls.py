"""Calls by the book: what a well-meant client gets, and what a broken one is told."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time

import grpc
import pytest
from http2_peer import ABUSE, CHECK, Peer, check_request, framed, wait_for
from hyperframe.frame import RstStreamFrame

from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.v1 import ratelimit_pb2_grpc as stubs


def code_of(call: object) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        call()  # type: ignore[operator]
    return error.value.code()


def test_decides(serve):
    """A verdict is an answer: allowed and denied calls both end with OK."""
    server, address = serve()
    with grpc.insecure_channel(address) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        assert stub.Check(pb.CheckRequest(path="/a"), timeout=5).decision == pb.DECISION_ALLOW
        assert stub.Check(pb.CheckRequest(path="/deny/b"), timeout=5).status == 429
        batch = pb.CheckBatchRequest(requests=[pb.CheckRequest(path=p) for p in ("/deny", "/a", "/deny")])
        assert [r.status for r in stub.CheckBatch(batch, timeout=5).responses] == [429, 200, 429]
    assert server.checks() == 5
    stats = server.stats()
    assert stats["calls"][1:3] == [2, 1]
    assert sum(stats["grpc_errors"]) == 0
    wait_for(lambda: sum(server.stats()["latency"]) == 5)  # added when the answer has been written


def test_a_batch_is_bounded(serve):
    """A batch beyond the bound is refused whole: nothing of it is counted."""
    server, address = serve(max_batch=3)
    with grpc.insecure_channel(address) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        call = lambda: stub.CheckBatch(pb.CheckBatchRequest(requests=[pb.CheckRequest()] * 4), timeout=5)  # noqa: E731
        assert code_of(call) == grpc.StatusCode.INVALID_ARGUMENT
    assert server.checks() == 0


def test_requests_of_one_read_are_decided_in_order(serve, connect):
    """The spine's running number follows the order of arrival."""
    _, address = serve()
    peer = connect(address)
    ids = range(1, 129, 2)
    peer.send(*[peer.call(i) for i in ids])
    scores = [peer.answer(i).check().score for i in ids]
    assert scores == list(range(len(scores)))


def test_many_calls_at_once(serve):
    """Thousands of calls through one channel, all answered, whatever the stream limit is."""
    server, address = serve(workers=2, max_streams=50)

    async def run() -> int:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = stubs.RateLimitServiceStub(channel)
            calls = [stub.Check(pb.CheckRequest(path=f"/{i}"), timeout=20) for i in range(3000)]
            answers = await asyncio.gather(*calls)
        return sum(a.decision == pb.DECISION_ALLOW for a in answers)

    assert asyncio.run(run()) == 3000
    assert server.checks() == 3000


def test_gzip(serve):
    """Compressed messages are read; deflate, which we do not speak, is refused with the list of what we do."""
    _, address = serve()
    request = pb.CheckRequest(path="/deny" + "x" * 5000)
    with grpc.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
        assert stubs.RateLimitServiceStub(channel).Check(request, timeout=5).status == 429
    with grpc.insecure_channel(address, compression=grpc.Compression.Deflate) as channel:
        call = lambda: stubs.RateLimitServiceStub(channel).Check(request, timeout=5)  # noqa: E731
        assert code_of(call) == grpc.StatusCode.UNIMPLEMENTED


def test_what_compression_can_get_wrong(serve, connect):
    """A bomb, garbage, a flag without an encoding, an unknown encoding: each its own error; the connection lives on."""
    server, address = serve(max_message=10_000)
    peer = connect(address)
    bomb = gzip.compress(b"\0" * 1_000_000)
    cases = [
        (framed(bomb, compressed=1), "gzip", 8),
        (framed(b"no gzip", compressed=1), "gzip", 13),
        (framed(b"", compressed=1), "identity", 13),
        (framed(b"", compressed=2), "identity", 13),
        (framed(b""), "snappy", 12),
    ]
    for i, (body, encoding, status) in enumerate(cases):
        stream = 2 * i + 1
        peer.send(peer.call(stream, body, extra=[("grpc-encoding", encoding)]))
        answer = peer.answer(stream)
        assert (answer.status, answer.grpc_status) == ("200", status), body
    assert answer.headers[-1]["grpc-accept-encoding"] == "identity,gzip"
    peer.send(peer.call(101))
    assert peer.answer(101).grpc_status == 0
    assert server.stats()["abuse"][ABUSE["oversized"]] == 1


def test_unknown_methods(serve):
    """UNIMPLEMENTED names the method, percent-encoded."""
    server, address = serve()
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/no.Such/Méthod%41")(b"", timeout=5)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "/no.Such/M" in error.value.details()
    assert "%41" in error.value.details()
    assert server.stats()["calls"][6] == 1


def test_malformed_messages(serve):
    """INVALID_ARGUMENT, and counted."""
    server, address = serve()
    with grpc.insecure_channel(address) as channel:
        for garbage in (b"\xff", b"\x0a\x7f", b"\x08" * 99):
            call = lambda g=garbage: channel.unary_unary(CHECK)(g, timeout=5)  # noqa: E731
            assert code_of(call) == grpc.StatusCode.INVALID_ARGUMENT
    assert server.stats()["abuse"][ABUSE["malformed"]] == 3
    assert server.checks() == 0


def test_oversized_messages(serve):
    """RESOURCE_EXHAUSTED as soon as the length is known; the client is told to stop, and other calls go on."""
    server, address = serve(max_message=100_000)
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        assert stub.Check(pb.CheckRequest(body=b"x" * 99_000), timeout=5).bytes_inspected == 99_000
        large = pb.CheckRequest(body=b"x" * 3_000_000)
        assert code_of(lambda: stub.Check(large, timeout=5)) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.Check(pb.CheckRequest(body=b"x"), timeout=5).bytes_inspected == 1
    assert server.stats()["abuse"][ABUSE["oversized"]] == 1


def test_a_length_is_enough_to_refuse(serve, connect):
    """The prefix of a message that is too large: trailers and RST_STREAM(NO_ERROR), without waiting for the rest."""
    _, address = serve(max_message=1000)
    peer = connect(address)
    peer.send(peer.headers(1), peer.data(1, b"\0\0\0\x10\0", end=False))
    answer = peer.answer(1)
    assert answer.grpc_status == 8
    peer.read_until(lambda: answer.reset is not None)
    assert answer.reset == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 12),  # none
        (framed(b"") + framed(b""), 12),  # two
        (framed(b"abc")[:-1], 13),  # cut in the message
        (b"\0\0\0", 13),  # cut in the prefix
    ],
)
def test_unary_takes_one_message(serve, connect, body, status):
    server, address = serve()
    peer = connect(address)
    peer.send(peer.call(1, body))
    assert peer.answer(1).grpc_status == status
    assert server.checks() == 0


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content_type": "application/json"}, "415"),
        ({"content_type": None}, "415"),
        ({"content_type": "application/grpc-web"}, "415"),
        ({"content_type": "application/grpc+json"}, "415"),
        ({"method": "GET"}, "405"),
    ],
)
def test_what_is_not_grpc_gets_an_http_status(serve, connect, options, status):
    server, address = serve()
    peer = connect(address)
    peer.send(peer.call(1, **options))
    assert peer.answer(1).status == status
    assert server.stats()["abuse"][ABUSE["malformed"]] == 1


@pytest.mark.parametrize("content_type", ["application/grpc+proto", "application/grpc;v=1", "Application/gRPC"])
def test_content_types_of_grpc(serve, connect, content_type):
    _, address = serve()
    peer = connect(address)
    peer.send(peer.call(1, content_type=content_type))
    assert peer.answer(1).grpc_status == 0


def test_deadlines(serve, connect):
    """A request whose deadline passes before it is complete is not decided; a malformed timeout is an error."""
    server, address = serve()
    peer = connect(address)
    peer.send(peer.headers(1, extra=[("grpc-timeout", "5m")]))
    time.sleep(0.01)
    peer.send(peer.data(1, check_request()))
    assert peer.answer(1).grpc_status == 4
    peer.send(peer.call(3, extra=[("grpc-timeout", "99999999H")]))
    assert peer.answer(3).grpc_status == 0
    peer.send(peer.call(5, extra=[("grpc-timeout", "soon")]))
    assert peer.answer(5).grpc_status == 13
    peer.send(peer.call(7, extra=[("grpc-timeout", "0S")]))
    assert peer.answer(7).grpc_status == 4
    assert server.stats()["deadline_passed"] == 2
    assert server.checks() == 1


def test_messages_in_pieces(serve, connect):
    """However a message is cut into DATA frames and reads, padded or not, it is the same message."""
    _, address = serve()
    peer = connect(address)
    body = check_request("/deny", body=b"x" * 40)
    peer.send(peer.headers(1), *[peer.data(1, body[i : i + 1], end=False) for i in range(len(body))])
    peer.send(peer.headers(3), peer.data(3, body[:7], end=False))
    for i in range(7, len(body)):
        peer.send(peer.data(3, body[i : i + 1], end=i + 1 == len(body)))
    padded = peer.data(5, body)
    padded.flags.add("PADDED")
    padded.pad_length = 100
    peer.send(peer.headers(5), padded, peer.data(1, b""))
    for stream in (1, 3, 5):
        assert peer.answer(stream).check().status == 429
        assert peer.answers[stream].check().bytes_inspected == 40


def test_large_messages_get_their_windows(serve):
    """Messages many times as large as the windows arrive."""
    _, address = serve(max_message=8 << 20)
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        stub = stubs.RateLimitServiceStub(channel)
        for _ in range(3):
            assert stub.Check(pb.CheckRequest(body=b"x" * (7 << 20)), timeout=20).bytes_inspected == 7 << 20


def test_incomplete_messages_are_bounded_per_connection(serve, connect):
    """Streams that each hold most of a message: past the bound the next is told RESOURCE_EXHAUSTED."""
    server, address = serve(max_message=300_000)
    peer: Peer = connect(address, settings={4: 1 << 20})
    streams = range(1, 101, 2)
    for i in streams:
        peer.send(peer.headers(i), peer.data(i, (300_000).to_bytes(5, "big") + bytes(16_000), end=False))
        peer.send(*[peer.data(i, bytes(16_000), end=False) for _ in range(2)])
    peer.read_until(lambda: any(a.ended for a in peer.answers.values()))
    refused = [a for a in peer.answers.values() if a.ended]
    assert {a.grpc_status for a in refused} == {8}
    for answer in refused:
        assert b"google.rpc.RetryInfo" in base64.b64decode(answer.headers[-1]["grpc-status-details-bin"] + "==")
    assert server.stats()["shed"] >= 1
    peer.send(peer.call(1001))
    assert peer.answer(1001).grpc_status == 0


def test_answers_wait_for_the_window(serve, connect):
    """With a window of seven bytes the answer comes in pieces; other streams are not held up by it."""
    _, address = serve()
    peer = connect(address, settings={4: 7})
    peer.send(peer.call(1, check_request("/deny")))
    peer.read_until(lambda: len(peer.answers[1].body) == 7)
    peer.send(peer.call(3), peer.window(3, 1000))
    assert peer.answer(3).grpc_status == 0
    assert not peer.answers[1].ended
    for _ in range(100):
        if peer.answers[1].ended:
            break
        peer.send(peer.window(1, 10))
        before = len(peer.answers[1].body)
        peer.read_until(lambda n=before: len(peer.answers[1].body) > n or peer.answers[1].ended)
    assert peer.answers[1].check().status == 429


def test_too_many_streams_are_refused(serve, connect):
    """The advertised limit holds: streams beyond it are refused (the client may retry them), the others answered."""
    _, address = serve(max_streams=3)
    peer = connect(address)
    peer.send(*[peer.headers(i) for i in (1, 3, 5, 7)])
    peer.read_until(lambda: peer.answers[7].ended)
    assert peer.answers[7].reset == 7  # REFUSED_STREAM
    peer.send(*[peer.data(i, check_request()) for i in (1, 3, 5)])
    assert [peer.answer(i).grpc_status for i in (1, 3, 5)] == [0, 0, 0]


def test_pings_are_answered(serve, connect):
    _, address = serve()
    peer = connect(address)
    peer.answer_pings = False
    peer.send(b"\0\0\x08\x06\0\0\0\0\0" + b"12345678")
    peer.read_until(lambda: any(f.type == 6 and "ACK" in f.flags and f.opaque_data == b"12345678" for f in peer.frames))


def test_cancelled_calls_leave_nothing(serve, connect):
    """A client that resets a half-sent call has its slot back."""
    _, address = serve(max_streams=1)
    peer = connect(address)
    for stream in range(1, 41, 2):
        peer.send(peer.headers(stream), peer.data(stream, b"\0\0", end=False), RstStreamFrame(stream, error_code=8))
    peer.send(peer.call(41))
    assert peer.answer(41).grpc_status == 0
