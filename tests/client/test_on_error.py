"""Without a verdict a client does what it was told to, and lets nothing pass that the request may have caused."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from ratelimitd.client import (
    AsyncClient,
    AsyncHttpClient,
    CheckError,
    Client,
    HttpClient,
    Request,
    Response,
    channel,
    outcome,
)
from ratelimitd.client.outcome import made_up

from .asking import KINDS, ask
from .limiter import Limiter

NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def outspoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test may complain at once."""
    monkeypatch.setattr(outcome, "_complaints", outcome._Complaints())


@KINDS
@pytest.mark.parametrize(("on_error", "allowed", "status"), [("allow", True, 200), ("deny", False, 503)])
def test_nobody_there(kind: str, on_error: str, allowed: bool, status: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ratelimitd"):
        verdict = ask(kind, NOWHERE, on_error=on_error, timeout=0.5)
    assert (verdict.allowed, verdict.status, verdict.reason) == (allowed, status, "no_answer")
    assert "UNAVAILABLE" in verdict.error
    assert verdict.retry_after == (None if allowed else 1)
    (line,) = caplog.messages
    assert NOWHERE in line
    assert verdict.decision_in_words in line


@KINDS
def test_raise_is_the_default(kind: str) -> None:
    with pytest.raises(CheckError, match="UNAVAILABLE"):
        ask(kind, NOWHERE, timeout=0.5)


@KINDS
@pytest.mark.parametrize(
    "request_",
    [
        Request(path="/\ud800"),
        Request(headers=[("a", "\ud800")]),
        Request(headers=[(f"x-{i}", "1") for i in range(300)]),
    ],
    ids=["path", "header", "many headers"],
)
def test_a_refused_request_does_not_pass_as_a_failure(kind: str, request_: Request, limiter: Limiter) -> None:
    """A client chooses what it sends; it must not be able to choose to be let through."""
    verdict = ask(kind, limiter.grpc, request_, on_error="allow", timeout=10)
    assert (verdict.allowed, verdict.status, verdict.reason) == (False, 400, "refused")


def test_an_unknown_outcome_is_a_fault_of_the_caller() -> None:
    for kind in (HttpClient, AsyncHttpClient, Client, AsyncClient):
        with pytest.raises(ValueError, match="must be one of allow, deny, raise"):
            kind(on_error="maybe")  # type: ignore[arg-type]


def test_what_is_too_large_is_413() -> None:
    verdict = made_up(CheckError("a", "TOO_LARGE", "the message is too large"), "allow")
    assert (verdict.allowed, verdict.status) == (False, 413)


def test_batches_and_responses_too() -> None:
    with Client(NOWHERE, on_error="deny") as client:
        assert [v.status for v in client.check_many([Request(), Request()])] == [503, 503]
    with Client(NOWHERE, on_error="allow") as client:
        assert client.inspect_response(Request(), Response(status=404)).status == 404


def test_an_outage_is_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    client = HttpClient(NOWHERE, on_error="allow")
    with caplog.at_level(logging.WARNING, "ratelimitd"):
        for _ in range(20):
            client.check(Request())
    assert len(caplog.messages) == 1


def test_a_channel_that_froze_is_made_anew(limiter: Limiter, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(limiter.grpc) as client:
        client.check(Request())
        first = client._channel
        client.check(Request())
        assert client._channel is first
        wall = time.time() + 241
        monkeypatch.setattr(channel.time, "time", lambda: wall)
        assert client.check(Request()).allowed
        assert client._channel is not first


def test_an_asyncio_client_may_outlive_its_loop(limiter: Limiter) -> None:
    client = AsyncClient(limiter.grpc)
    for _ in range(2):
        assert asyncio.run(client.check(Request())).allowed


def test_a_server_that_restarts_costs_a_retry_only(limiter: Limiter) -> None:
    """UNAVAILABLE is tried once more as soon as there is a connection again, inside the deadline."""
    with Client(limiter.grpc, timeout=5) as client:
        assert client.check(Request()).allowed
        limiter.engine.stop()
        fresh = Limiter(address=limiter.grpc)
        try:
            assert client.check(Request()).allowed
        finally:
            fresh.close()


def test_during_an_outage_calls_fail_at_once(limiter: Limiter) -> None:
    with Client(limiter.grpc, timeout=0.5) as client:
        client.check(Request())
        limiter.engine.stop()
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(CheckError, match="UNAVAILABLE"):
                client.check(Request())
        assert time.monotonic() - began < 1.5  # the first waits for its retry, the others do not
