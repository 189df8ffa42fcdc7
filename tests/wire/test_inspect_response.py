"""decode_inspect_response and encode_inspect_response against the official runtime."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_verdicts import allowed, any_verdict, scanned

from ratelimitd._ext.wire import probe


@pytest.fixture(scope="module")
def request_class(message):
    return message("ratelimitd.v1.InspectResponseRequest")


@pytest.fixture(scope="module")
def parse(message):
    return lambda verdict: message("ratelimitd.v1.InspectResponseResponse").FromString(probe.inspect_response(verdict))


def decode(asked):
    return probe.inspected_response(asked.SerializeToString())


def test_every_field_is_read(request_class):
    request, response = decode(
        request_class(
            request={"domain": "shop", "method": "GET", "path": "/a", "headers": [{"name": "Accept", "value": b"*/*"}]},
            status=404,
            headers=[{"name": "Set-Cookie", "value": b"a=1"}, {"name": ":status", "value": b"404"}],
            body=b"x=\xff",
            partial_body=True,
        )
    )
    assert (request["domain"], request["path"], request["headers"]) == (b"shop", b"/a", [(b"accept", b"*/*")])
    assert response == {"status": 404, "headers": [(b"set-cookie", b"a=1")], "body": b"x=\xff", "partial_body": True}


def test_names_of_both_stay_where_they_are(request_class):
    """Names are lower-cased into memory that must not move while more of them are."""
    names = [{"name": f"X-{'Long' * 40}-{i}", "value": b"1"} for i in range(200)]
    request, response = decode(request_class(request={"headers": names[:100]}, status=200, headers=names[100:]))
    found = [name for name, _ in request["headers"] + response["headers"]]
    assert found == [name["name"].lower().encode() for name in names]


def test_a_request_in_pieces_is_one(request_class):
    """As every protobuf reader merges a message that comes twice."""
    parts = [request_class(request={"method": "GET"}), request_class(request={"path": "/a"}, status=200)]
    request, _ = probe.inspected_response(b"".join(part.SerializeToString() for part in parts))
    assert (request["method"], request["path"]) == (b"GET", b"/a")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, "status: must be an HTTP status"),
        ({"status": 99}, "status: must be an HTTP status"),
        ({"status": 200, "headers": [{"name": "", "value": b"1"}]}, "headers: a name is empty"),
        ({"status": 200, "headers": [{"name": "a"}] * 257}, "headers: more than 256"),
        ({"status": 200, "request": {"headers": [{"name": "a"}] * 257}}, "request: headers: more than 256"),
        ({"status": 200, "request": {"source_address": "?"}}, "request: source_address: must be"),
    ],
)
def test_what_is_refused(request_class, fields, error):
    with pytest.raises(ValueError, match=f"^{error}"):
        decode(request_class(**fields))


@given(st.data())
@settings(deadline=None)
def test_a_cut_or_changed_message_is_read_or_refused(request_class, data):
    whole = request_class(
        request={"path": "/a", "attributes": {"a": "b"}}, status=200, headers=[{"name": "A", "value": b"1"}], body=b"x"
    ).SerializeToString()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 : data.draw(st.integers(at + 1, 99))]
    with suppress(ValueError):
        probe.inspected_response(changed)


def test_a_denial(parse):
    found = parse(scanned())
    assert (found.decision, found.status, found.reason, found.decided_by) == (2, 403, 4, "942100")
    assert (found.matches[0].id, found.matches[0].target, found.matches[0].score) == ("942100", "args:id", 5)
    assert (found.score, found.bytes_inspected, found.inspected_all) == (5, 300, True)
    assert (found.reference, found.domain) == ("0123456789abcdef", "shop")
    assert [(h.name, h.value) for h in found.headers] == [(n.decode(), v) for n, v in probe.headers(scanned())]


def test_an_allow_has_the_response_s_own_status(parse):
    found = parse({**allowed(), "status": 404, "states": [], "tightest_state": -1})
    assert (found.decision, found.status, found.reference) == (1, 404, "")


@given(verdict=any_verdict)
@settings(deadline=None)
def test_any_verdict_fits(parse, verdict):
    assert parse(verdict).decision in (1, 2)
