"""decode_check and next_batch_request against messages that the official runtime made."""

from __future__ import annotations

import pytest

from ratelimitd._ext.wire import probe


@pytest.fixture
def request_class(message):
    return message("ratelimitd.v1.CheckRequest")


def decode(check):
    return probe.check_request(check.SerializeToString())


def test_every_field_is_read(request_class):
    check = request_class(
        domain="shop",
        source_address="203.0.113.7",
        method="POST",
        path="/a?id=1",
        host="shop.example",
        scheme="https",
        headers=[{"name": "Cookie", "value": b"a=1"}, {"name": "cookie", "value": b"b=\xff"}],
        body=b"x=1",
        partial_body=True,
        attributes={"plan": "gold"},
        cost=3,
        dry_run=True,
        explain=True,
    )
    assert decode(check) == {
        "domain": b"shop",
        "source_address": b"203.0.113.7",
        "method": b"POST",
        "path": b"/a?id=1",
        "host": b"shop.example",
        "scheme": b"https",
        "protocol": b"",
        "request_id": b"",
        "body": b"x=1",
        "headers": [(b"cookie", b"a=1"), (b"cookie", b"b=\xff")],
        "attributes": [(b"plan", b"gold")],
        "cost": 3,
        "has_body": True,
        "partial_body": True,
        "dry_run": True,
        "explain": True,
    }


def test_an_empty_request_costs_one():
    found = probe.check_request(b"")
    assert (found["cost"], found["has_body"], found["headers"]) == (1, False, [])


@pytest.mark.parametrize("text", ["", "203.0.113.7", "203.0.113.7:80", "2001:db8::1", "[2001:db8::1]:443"])
def test_a_source_address_may_have_a_port_or_be_missing(request_class, text):
    assert decode(request_class(source_address=text))["source_address"] == text.encode()


@pytest.mark.parametrize("text", ["localhost", "203.0.113.256", "203.0.113.7, 10.0.0.1", "unix:/run/s", " "])
def test_a_source_address_that_is_none_is_named(request_class, text):
    """Silence would count its client as one without an address."""
    with pytest.raises(ValueError, match="source_address"):
        decode(request_class(source_address=text))


def test_a_cost_of_zero_and_an_empty_body_are_not_missing(request_class):
    found = decode(request_class(cost=0, body=b""))
    assert (found["cost"], found["has_body"]) == (0, True)


def test_a_cost_beyond_32_bits_is_refused_not_cut():
    with pytest.raises(ValueError, match="cost:"):
        probe.check_request(b"\x58\x80\x80\x80\x80\x10")
    assert probe.check_request(b"\x58\xff\xff\xff\xff\x0f")["cost"] == 2**32 - 1


def test_only_the_field_says_that_a_body_is_cut(request_class):
    """Envoy's header is Envoy's to set; here it is one that a client sent."""
    assert not decode(request_class(headers=[{"name": "x-envoy-auth-partial-body", "value": b"true"}]))["partial_body"]


def test_host_and_request_id_come_from_headers_too(request_class):
    headers = [{"name": "X-Request-Id", "value": b"5f"}, {"name": "Host", "value": b"a.example"}]
    found = decode(request_class(headers=headers))
    assert (found["host"], found["request_id"]) == (b"a.example", b"5f")
    assert found["headers"] == [(b"x-request-id", b"5f"), (b"host", b"a.example")]


def test_pseudo_headers_are_no_headers(request_class):
    headers = [{"name": ":path", "value": b"/p"}, {"name": ":unknown", "value": b"x"}, {"name": "a", "value": b""}]
    found = decode(request_class(headers=headers))
    assert found["path"] == b"/p"
    assert found["headers"] == [(b"a", b"")]


def test_a_header_without_a_name_is_refused(request_class):
    with pytest.raises(ValueError, match="headers: a name is empty"):
        decode(request_class(headers=[{"value": b"x"}]))


def test_headers_and_attributes_are_bounded(request_class):
    check = request_class(headers=[{"name": "h", "value": b"v"}] * 256, attributes={f"a{i}": "" for i in range(64)})
    assert len(decode(check)["headers"]) == 256
    with pytest.raises(ValueError, match="headers: more than 256"):
        probe.check_request(check.SerializeToString() + request_class(headers=[{"name": "h"}]).SerializeToString())
    with pytest.raises(ValueError, match="attributes: more than 64"):
        probe.check_request(check.SerializeToString() + request_class(attributes={"b": ""}).SerializeToString())


def test_a_batch_is_its_requests_in_order(message, request_class):
    requests = [request_class(path=f"/{i}") for i in range(5)] + [request_class()]
    batch = message("ratelimitd.v1.CheckBatchRequest")(requests=requests)
    assert probe.batch_requests(batch.SerializeToString()) == [r.SerializeToString() for r in requests]
    assert probe.batch_requests(b"") == []
    assert probe.batch_requests(b"\x10\x05" + batch.SerializeToString() + b"\x10\x05")[0] == b"\x22\x02/0"


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05abc", b"\x0a\x00\xff", b"\x0a\x00\x07", b"\x00\x00"])
def test_a_malformed_batch_is_refused(data):
    with pytest.raises(ValueError, match="CheckBatchRequest"):
        probe.batch_requests(data)
