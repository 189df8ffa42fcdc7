"""decode_envoy_check against messages that the official runtime made."""

from __future__ import annotations

import pytest

from ratelimitd._ext.wire import probe

HEADERS = {
    ":authority": "shop.example:8443",
    ":method": "POST",
    ":path": "/a%2Fb/../c?x=1",
    ":scheme": "https",
    "user-agent": "curl/8",
    "x-forwarded-for": "203.0.113.7, 10.0.0.1",
    "x-request-id": "5f0c",
}


@pytest.fixture
def request_class(message):
    return message("envoy.service.auth.v3.CheckRequest")


@pytest.fixture
def request_message(request_class):
    """What Envoy sends for a POST, field by field."""
    check = request_class()
    check.attributes.source.address.socket_address.address = "10.0.0.1"
    check.attributes.source.address.socket_address.port_value = 41234
    http = check.attributes.request.http
    http.id = "1234567890"
    http.method = "POST"
    http.path = "/a%2Fb/../c?x=1"
    http.host = "shop.example:8443"
    http.scheme = "https"
    http.protocol = "HTTP/2"
    http.headers.update(HEADERS)
    return check


def decode(check):
    return probe.envoy_request(check.SerializeToString())


def test_every_field_is_read(request_message):
    request_message.attributes.request.http.raw_body = b"\xffa=1"
    request_message.attributes.context_extensions["route"] = "login"
    request_message.attributes.context_extensions["ratelimitd_domain"] = "shop"
    request_message.attributes.context_extensions["ratelimitd_cost"] = "7"
    found = decode(request_message)
    headers = found.pop("headers")
    assert sorted(headers) == [(n.encode(), v.encode()) for n, v in sorted(HEADERS.items()) if n[0] != ":"]
    assert found == {
        "domain": b"shop",
        "source_address": b"10.0.0.1",
        "method": b"POST",
        "path": b"/a%2Fb/../c?x=1",
        "host": b"shop.example:8443",
        "scheme": b"https",
        "protocol": b"HTTP/2",
        "request_id": b"5f0c",
        "body": b"\xffa=1",
        "attributes": [(b"route", b"login")],
        "cost": 7,
        "has_body": True,
        "partial_body": False,
        "dry_run": False,
        "explain": False,
    }


def test_a_bare_http_request_is_enough(request_class):
    check = request_class()
    check.attributes.request.http.SetInParent()
    found = decode(check)
    assert found["cost"] == 1
    assert not any(found[name] for name in ("domain", "path", "headers", "attributes", "has_body", "partial_body"))


def test_header_map_keeps_order_duplicates_and_raw_bytes(request_message):
    http = request_message.attributes.request.http
    http.headers.clear()
    for key, value in [(":path", b"/raw"), ("cookie", b"a=1"), ("X-Request-ID", b"77"), ("cookie", b"b=\xff")]:
        http.header_map.headers.add(key=key, raw_value=value)
    http.header_map.headers.add(key="plain", value="text")
    found = decode(request_message)
    assert found["headers"] == [
        (b"cookie", b"a=1"),
        (b"x-request-id", b"77"),
        (b"cookie", b"b=\xff"),
        (b"plain", b"text"),
    ]
    assert found["request_id"] == b"77"
    assert found["path"] == b"/a%2Fb/../c?x=1"


def test_pseudo_headers_stand_in_for_empty_fields(request_class):
    check = request_class()
    check.attributes.request.http.headers.update(HEADERS)
    found = decode(check)
    assert (found["method"], found["path"], found["host"], found["scheme"]) == (
        b"POST",
        b"/a%2Fb/../c?x=1",
        b"shop.example:8443",
        b"https",
    )


def test_the_stream_id_stands_in_for_a_request_id(request_message):
    del request_message.attributes.request.http.headers["x-request-id"]
    assert decode(request_message)["request_id"] == b"1234567890"


@pytest.mark.parametrize(
    "name", ["A", "aB", "Abc", "abcD", "abcdefG", "abcdefgH", "abcdefghijklmnopqrstuvwxyZ", "@[`{AZaz"]
)
def test_names_come_out_lower_case(request_class, name):
    check = request_class()
    for key in (name, name.lower(), "A" + name, name + "\xe4"):
        check.attributes.request.http.header_map.headers.add(key=key, value="v")
    expected = [name.lower(), name.lower(), "a" + name.lower(), name.lower() + "\xe4"]
    assert [key.decode() for key, _ in decode(check)["headers"]] == expected


def test_a_partial_body_is_marked(request_message):
    http = request_message.attributes.request.http
    http.headers["x-envoy-auth-partial-body"] = "true"
    found = decode(request_message)
    assert (found["has_body"], found["partial_body"]) == (True, True)
    http.headers["x-envoy-auth-partial-body"] = "false"
    http.body = "cut?"
    found = decode(request_message)
    assert (found["has_body"], found["partial_body"], found["body"]) == (True, False, b"cut?")


def test_a_client_cannot_hide_a_partial_body(request_message):
    """With raw headers the client's own line stands beside Envoy's, in either order."""
    for values in (("true", "false"), ("false", "true")):
        http = request_message.attributes.request.http
        del http.header_map.headers[:]
        for value in values:
            http.header_map.headers.add(key="x-envoy-auth-partial-body", raw_value=value.encode())
        assert decode(request_message)["partial_body"]


def test_a_pipe_has_no_address(request_message, request_class):
    other = request_class()
    other.attributes.source.address.pipe.path = "/run/x.sock"
    data = request_message.SerializeToString() + other.SerializeToString()
    assert request_class.FromString(data).attributes.source.address.WhichOneof("address") == "pipe"
    assert probe.envoy_request(data)["source_address"] == b""


def test_messages_that_occur_twice_are_merged(request_message, request_class):
    other = request_class()
    other.attributes.request.http.path = "/later"
    other.attributes.request.http.headers["x-more"] = "1"
    other.attributes.context_extensions["route"] = "second"
    request_message.attributes.context_extensions["route"] = "first"
    found = probe.envoy_request(request_message.SerializeToString() + other.SerializeToString())
    assert found["path"] == b"/later"
    assert found["method"] == b"POST"
    assert (b"x-more", b"1") in found["headers"]
    assert found["attributes"] == [(b"route", b"second")]


@pytest.mark.parametrize(
    "cost", ["", "-1", "+1", " 1", "1 ", "1.5", "0x1", "4294967296", "99999999999999999999", "ten"]
)
def test_a_bad_cost_is_named(request_message, cost):
    request_message.attributes.context_extensions["ratelimitd_cost"] = cost
    with pytest.raises(ValueError, match="ratelimitd_cost"):
        decode(request_message)


@pytest.mark.parametrize("cost", ["0", "1", "007", "4294967295"])
def test_a_good_cost_is_taken(request_message, cost):
    request_message.attributes.context_extensions["ratelimitd_cost"] = cost
    assert decode(request_message)["cost"] == int(cost)


@pytest.mark.parametrize("data", [b"", b"\x0a\x00", b"\x0a\x02\x22\x00"])
def test_a_request_without_http_says_what_to_do(data):
    with pytest.raises(ValueError, match="ext_authz"):
        probe.envoy_request(data)


def test_headers_are_bounded(request_class):
    check = request_class()
    for i in range(256):
        check.attributes.request.http.header_map.headers.add(key=f"x-{i}", value="v")
    assert len(decode(check)["headers"]) == 256
    check.attributes.request.http.header_map.headers.add(key=":path", value="/")
    assert decode(check)["path"] == b"/"
    check.attributes.request.http.headers["one-more"] = "v"
    with pytest.raises(ValueError, match="headers: more than 256"):
        decode(check)


def test_attributes_are_bounded(request_message):
    extensions = request_message.attributes.context_extensions
    extensions["ratelimitd_domain"] = "does not count"
    for i in range(64):
        extensions[f"a{i}"] = str(i)
    assert len(decode(request_message)["attributes"]) == 64
    extensions["one-more"] = "1"
    with pytest.raises(ValueError, match="attributes: more than 64"):
        decode(request_message)
