"""What needs no server: addresses, credentials, the breaker, what errors are called."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from redis import exceptions as redis

from ratelimitd.admin.store import StoreCollector
from ratelimitd.errors import SettingsError
from ratelimitd.sync import address, credentials
from ratelimitd.sync.breaker import FAILURES, MOST_SECONDS, Breaker
from ratelimitd.sync.faults import explain
from ratelimitd.sync.status import Histogram, MasterStatus, Status


def test_addresses() -> None:
    many = address.parse("rediss://app:p%40ss@a.example:7000,[::1]:7001,b/orders")
    assert many.hosts == (("a.example", 7000), ("::1", 7001), ("b", 6379))
    assert (many.tls, many.username, many.password, many.path) == (True, "app", "p@ss", "orders")
    assert str(many) == "rediss://a.example:7000,[::1]:7001,b:6379/orders"
    assert address.parse("redis://:secret@h").username is None


@pytest.mark.parametrize(
    "text", ["", "h:6379", "http://h", "redis://", "redis://h:0", "redis://h:x", "redis://a,,b", "redis://h/0?db=1"]
)
def test_bad_addresses_say_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingsError, match="redis"):
        address.parse(text)


@pytest.mark.parametrize("token", [None, "session/token+="])
@pytest.mark.parametrize("serverless", [False, True])
def test_iam_tokens_are_those_of_botocore(monkeypatch: pytest.MonkeyPatch, token: str | None, serverless: bool) -> None:
    now = datetime.datetime(2026, 11, 24, 12, 0, 0, tzinfo=datetime.UTC)
    keys = SimpleNamespace(access_key="AKIDEXAMPLE", secret_key="secret/key", token=token)
    ours = credentials.presign(keys, "app user", "my-cache", "eu-west-1", now, serverless=serverless)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None), raising=False)
    url = "http://my-cache/?Action=connect&User=app%20user" + ("&ResourceType=ServerlessCache" if serverless else "")
    request = AWSRequest("GET", url)
    theirs = Credentials(keys.access_key, keys.secret_key, token)
    SigV4QueryAuth(theirs, "elasticache", "eu-west-1", expires=900).add_auth(request)
    assert ours.startswith("my-cache/?")
    assert dict(parse_qsl(ours.partition("?")[2])) == dict(parse_qsl(request.url.partition("?")[2]))


@pytest.mark.parametrize("text", ["elasticache:u:c", "elasticache:u:c:r:other", "nowhere", "no.such:thing", "os:sep"])
def test_bad_providers(text: str) -> None:
    with pytest.raises(SettingsError, match="redis-credentials"):
        credentials.provider(text)


def test_the_breaker_waits_longer_and_never_too_long() -> None:
    breaker = Breaker(random=random.Random(1))
    for _ in range(FAILURES - 1):
        breaker.failed(100.0)
        assert breaker.may_ask(100.0)
        assert not breaker.open
    waits = []
    for _ in range(20):
        breaker.failed(100.0)
        assert breaker.open
        assert not breaker.may_ask(100.0)
        waits.append(breaker.until - 100.0)
    assert waits[0] <= 0.1
    assert max(waits) <= MOST_SECONDS
    assert min(waits[-5:]) >= MOST_SECONDS / 2
    breaker.succeeded()
    assert breaker.may_ask(100.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.MovedError("12 127.0.0.1:7000"), "moved"),
        (redis.ReadOnlyError("You can't write against a read only replica."), "moved"),
        (redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "memory"),
        (redis.NoPermissionError("this user has no permissions"), "permission"),
        (redis.AuthenticationError("invalid username-password pair"), "auth"),
        (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "disk"),
        (redis.ResponseError("something else"), "refused"),
        (redis.TimeoutError("Timeout reading"), "timeout"),
        (redis.ConnectionError("refused"), "connection"),
        (TimeoutError(), "timeout"),
        (OSError("no route"), "connection"),
        (redis.InvalidResponse("Protocol Error: H"), "nonsense"),
    ],
)
def test_what_failures_are_called(error: Exception, kind: str) -> None:
    found, sentence = explain(error)
    assert found == kind
    assert len(sentence) > 10


def test_every_metric_is_documented() -> None:
    master = MasterStatus("m:1", 128, True, "", 0.0, 0.0)
    status = Status("single", "", "", "", (master,), ("n",), 0, 0.0, 0.0, 0.1, Histogram(), 2, 3, {"timeout": 1}, 0)
    text = (Path(__file__).parents[2] / "docs/cluster.md").read_text()
    for family in StoreCollector(lambda: status, lambda: [("shop", "per-ip", 1.0)]).collect():
        suffix = "_total" if family.type == "counter" else ""
        assert f"| `{family.name}{suffix}` | " in text
        assert f"| {family.documentation} |" in text
