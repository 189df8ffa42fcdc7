"""A worker that cannot keep up: what has waited too long is refused cheaply, and costs no decision."""

from __future__ import annotations

import base64

from http2_peer import check_request, wait_for


def slow(ms: int) -> bytes:
    """A check that takes that long."""
    return check_request("/slow", cost=ms)


def test_what_waits_too_long_in_a_turn_is_refused(serve, connect):
    """The first calls of a long read are decided, in order; from the bound on all others are refused at once."""
    server, address = serve(max_wait_ms=60, max_streams=200)
    peer = connect(address)
    ids = range(1, 400, 2)
    peer.send(b"".join(peer.call(i, slow(2)) for i in ids))
    statuses = [peer.answer(i).grpc_status for i in ids]
    decided = server.checks()
    assert 1 < decided <= 30 + 8 + 1  # the clock is read every 8 checks
    assert statuses == [0] * decided + [8] * (200 - decided)
    assert server.stats()["shed"] == 200 - decided
    refused = peer.answers[399]
    assert b"google.rpc.RetryInfo" in base64.b64decode(refused.headers[-1]["grpc-status-details-bin"] + "==")
    peer.send(peer.call(401))  # the next turn is a new one
    assert peer.answer(401).grpc_status == 0


def test_what_did_not_fit_into_a_read_has_been_waiting_too(serve, connect, tmp_path):
    """The rest of a burst is not given another turn's time."""
    server, address = serve(f"unix:{tmp_path}/s", max_wait_ms=60, max_streams=1000)
    peer = connect(address)
    peer.send(peer.call(1, slow(150)))  # meanwhile more than one read piles up
    filler = b"x" * 400
    calls = b"".join(peer.call(i, check_request("/slow", cost=2, body=filler)) for i in range(3, 803, 2))
    assert len(calls) > 140_000
    peer.send(calls)
    statuses = [peer.answer(i).grpc_status for i in range(3, 803, 2)]
    assert server.checks() == 1 + statuses.count(0)
    assert statuses.count(0) <= 30 + 8 + 1
    assert statuses == sorted(statuses)


def test_who_has_given_up_is_not_decided_for(serve, connect):
    """A deadline that passes while other connections have their turn."""
    server, address = serve()
    peers = [connect(address) for _ in range(3)]
    for peer in peers:
        peer.send(peer.call(1))
        assert peer.answer(1).grpc_status == 0
    peers[0].send(peers[0].call(3, slow(80)))  # while it lasts the other two become ready, one after the other
    wait_for(lambda: server.checks() == 4)
    peers[1].send(peers[1].call(3, slow(100)))
    peers[2].send(peers[2].call(3, extra=[("grpc-timeout", "50m")]), peers[2].call(5, extra=[("grpc-timeout", "5S")]))
    assert peers[1].answer(3).grpc_status == 0
    late = peers[2].answer(3)
    assert (late.grpc_status, late.grpc_message) == (4, "the deadline passed before the request was decided")
    assert peers[2].answer(5).grpc_status == 0
    assert server.stats()["deadline_passed"] == 1
    assert server.stats()["shed"] == 0
    assert server.checks() == 6


def test_without_a_bound_everything_is_decided(serve, connect):
    server, address = serve(max_wait_ms=0)
    peer = connect(address)
    ids = range(1, 100, 2)
    peer.send(b"".join(peer.call(i, slow(2)) for i in ids))
    assert {peer.answer(i).grpc_status for i in ids} == {0}
    assert server.checks() == 50
