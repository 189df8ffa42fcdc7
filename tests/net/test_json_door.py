"""POST /v1/check: the contract as JSON, over both versions of HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from http1_client import Client
from http2_peer import ABUSE, check_request

from ratelimitd.v1 import ratelimit_pb2 as pb

CHECK, BATCH = "/v1/check", "/v1/check/batch"


@pytest.fixture
def victim(serve: Any, client: Any) -> tuple[Any, Client]:
    server, address = serve(max_message=100_000, max_batch=3)
    return server, client(address)


def refused(c: Client, body: bytes, path: str = CHECK) -> dict[str, Any]:
    status, fields, answer = c.post(path, body)
    assert status == 400
    assert fields["content-type"] == "application/problem+json"
    assert "connection" not in fields
    problem: dict[str, Any] = json.loads(answer)
    return problem


def test_a_request_and_its_verdict(victim):
    """As protobuf's own JSON writes the one and reads the other."""
    server, c = victim
    asked = pb.CheckRequest(
        domain="d",
        source_address="203.0.113.7",
        method="POST",
        path='/deny/ü"\\\n\U0001f600',
        host="h",
        scheme="https",
        headers=[pb.Header(name="X-A", value=b"\x00\xff")],
        body=bytes(range(256)),
        partial_body=True,
        attributes={"plan": "gold"},
        cost=3,
        dry_run=True,
        explain=True,
    )
    for preserving in (False, True):
        text = json_format.MessageToJson(asked, preserving_proto_field_name=preserving)
        status, fields, body = c.post(CHECK, text.encode(), "application/json; charset=utf-8")
        assert status == 200
        assert fields["content-type"] == "application/json"
        verdict = json_format.Parse(body, pb.CheckResponse())
        assert (verdict.decision, verdict.status) == (pb.DECISION_DENY, 429)
        assert verdict.bytes_inspected == 256
        assert verdict.domain == "probe"
    allowed = json_format.Parse(c.post(CHECK, b'{"path":"/a"}')[2], pb.CheckResponse())
    assert (allowed.decision, allowed.status) == (pb.DECISION_ALLOW, 200)
    assert server.checks() == 3


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"cost":-1}', "cost"),
        ('{"cost":1.5}', "cost"),
        ('{"cost":4294967296}', "cost"),
        ('{"cost":"x"}', "cost"),
        ('{"cost":true}', "cost"),
        ('{"cost":01}', "cost"),
        ('{"body":"a"}', "body"),
        ('{"body":"a b="}', "body"),
        ('{"body":"YWI=YWI="}', "body"),
        ('{"body":{}}', "body"),
        ('{"path":1}', "path"),
        ('{"path":["/"]}', "path"),
        ('{"dryRun":"true"}', "dry_run"),
        ('{"partial_body":1}', "partial_body"),
        ('{"sourceAddress":"nowhere"}', "source_address"),
        ('{"attributes":{"a":1}}', "attributes"),
        ('{"attributes":[]}', "attributes"),
        ('{"headers":"a"}', "headers"),
        ('{"headers":{"a":1}}', "headers"),
        ('{"headers":{"":"x"}}', "headers"),
        ('{"headers":[1]}', "headers[0]"),
        ('{"headers":[{"name":"a"},{"name":"b","value":"?"}]}', "headers[1].value"),
        ('{"headers":[{"value":"YQ=="}]}', "headers[0]"),
        ('{"headers":[{"name":"a","more":1}]}', "headers[0]"),
        ('{"headers":[' + ",".join(['{"name":"a"}'] * 257) + "]}", "headers"),
        ('{"headers":{' + ",".join(f'"a{i}":""' for i in range(257)) + "}}", "headers"),
        ('{"attributes":{' + ",".join(f'"a{i}":""' for i in range(65)) + "}}", "attributes"),
        ('{"pth":"/"}', "pth"),
        ('{"path":"/","path":"/"}', "path"),
        ('{"dryRun":true,"dry_run":true}', "dry_run"),
    ],
)
def test_errors_name_the_field(victim, text, field):
    server, c = victim
    problem = refused(c, text.encode())
    assert (problem["status"], problem["field"]) == (400, field)
    assert problem["detail"].startswith(f"{field}: ")
    assert server.checks() == 0
    assert server.stats()["abuse"][ABUSE["malformed"]] == 1
    nested = refused(c, f'{{"requests":[{{}},{text}]}}'.encode(), BATCH)
    assert nested["field"] == f"requests[1].{field}"
    assert server.checks() == 0


BROKEN = r"""
{|}|{"path"|{"path":|{"path":"|{"path":"/"|{"path":"/",}|{,"path":"/"}|{"path" "/"}|{"path":"/"}x|{"path":"/"}{}
{"path":"\x"}|{"path":"\u12"}|{"path":"\ud800"}|{"path":"\ud800\u0041"}|{"path":"\udc00"}|{'path':1}|{path:1}
{"path":nul}|{"headers":[{"name":"a"},]}|{"headers":[,]}|null|[]|1|"x"
"""


@pytest.mark.parametrize(
    "text",
    ["", " ", '{"path":"a\nb"}', "\ufeff{}", "[" * 10_000, '{"headers":' * 5_000]
    + [text for line in BROKEN.split("\n") for text in line.split("|") if text],
)
def test_what_is_no_json_object_is_said_to_be_none(victim, text):
    server, c = victim
    problem = refused(c, text.encode())
    assert "JSON" in problem["detail"] or problem["field"] in ("path", "headers", "headers[0]", "headers[1]")
    assert server.checks() == 0
    assert c.post(CHECK, b"{}")[0] == 200


def test_null_is_nothing_and_numbers_may_be_strings(victim):
    _, c = victim
    fields = json_format.MessageToDict(
        pb.CheckRequest(domain="a", headers=[pb.Header(name="a")], attributes={"a": "b"})
    )
    body = json.dumps({**dict.fromkeys([*fields, "cost", "body", "dryRun"])}).encode()
    assert c.post(CHECK, body)[0] == 200
    assert c.post(CHECK, b' {\r\n\t"cost" : "7" , "headers" : {"User-Agent" : "curl\\/8"} } ')[0] == 200


def test_a_batch_is_answered_in_order_or_not_at_all(victim):
    server, c = victim
    status, _, body = c.post(BATCH, b'{"requests":[{"path":"/deny"},{},{"path":"/deny/b"}]}')
    assert status == 200
    answered = json_format.Parse(body, pb.CheckBatchResponse())
    assert [r.status for r in answered.responses] == [429, 200, 429]
    assert [r.score for r in answered.responses] == [0, 1, 2]
    assert c.post(BATCH, b"{}")[2] == b'{"responses":[]}'
    assert c.post(BATCH, b'{"requests":[]}')[2] == b'{"responses":[]}'
    for wrong in (
        b'{"requests":[{},{},{},{}]}',
        b'{"requests":[{}],"x":1}',
        b'{"requests":[{}]',
        b'{"requests":{}}',
        b'{"x":[]}',
    ):
        refused(c, wrong, BATCH)
    assert server.checks() == 3


def test_what_else_is_refused(victim):
    server, c = victim
    assert c.post(CHECK, b"{}", "text/plain")[0] == 415
    assert c.post(CHECK, b"{}", "application/jsonx")[0] == 415
    c.send(b"GET /v1/check HTTP/1.1\r\nHost: x\r\n\r\n")
    status, fields, _ = c.read()
    assert (status, fields["allow"]) == (405, "POST")
    assert c.post("/v1/checks", b"{}")[0] == 404
    assert c.post("/v1/check?x", b"{}")[0] == 200
    assert c.post(CHECK, b'{"body":"' + b"A" * 100_000 + b'"}')[0] == 413
    assert c.at_end()
    assert server.checks() == 1


def test_health_for_balancers_without_grpc(serve, client):
    server, address = serve()
    c = client(address)
    assert c.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == 200
    server.set_health(2)
    assert c.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == 503
    assert c.post("/healthz", b"")[0] == 405


class TestHttp2:
    """The same doors."""

    def post(self, peer, stream, body, path=CHECK, **options):
        options.setdefault("content_type", "application/json")
        peer.send(peer.headers(stream, path, **options), peer.data(stream, body))
        return peer.answer(stream)

    def test_both_kinds_of_calls_on_one_connection(self, serve, connect):
        server, address = serve()
        peer = connect(address)
        for stream in range(1, 12, 4):
            answer = self.post(peer, stream, b'{"path":"/deny"}')
            assert answer.status == "200"
            assert answer.headers[0]["content-type"] == "application/json"
            assert answer.headers[0]["content-length"] == str(len(answer.body))
            assert answer.headers[0]["date"].endswith(" GMT")
            assert json.loads(answer.body)["status"] == 429
            assert len(answer.headers) == 1
            peer.send(peer.call(stream + 2, check_request("/deny")))
            assert peer.answer(stream + 2).check().status == 429
        assert server.checks() == 6

    def test_auth(self, serve, connect):
        server, address = serve()
        peer = connect(address)
        told = [("x-original-method", "GET"), ("x-original-uri", "/deny"), ("x-forwarded-for", "::1")]
        peer.send(peer.headers(1, "/auth", method="GET", content_type=None, extra=told, end=True))
        assert peer.answer(1).status == "429"
        assert json.loads(peer.answer(1).body)["status"] == 429
        peer.send(peer.headers(3, "/auth/envoy/x", method="HEAD", content_type=None, extra=told[2:], end=True))
        assert (peer.answer(3).status, peer.answer(3).body) == ("200", b"")
        assert server.checks() == 2

    def test_what_is_refused(self, serve, connect):
        server, address = serve(max_message=1000, max_header_list=2000)
        peer = connect(address)
        assert self.post(peer, 1, b"{").status == "400"
        assert self.post(peer, 3, b"x" * 1001).status == "413"
        assert self.post(peer, 5, b"{}", content_type="application/grpc").status == "415"
        assert self.post(peer, 7, b"{}", path="/v1/none").status == "404"
        assert self.post(peer, 9, b"{}", path="/none").status == "404"
        assert self.post(peer, 11, b"{}", method="GET").status == "405"
        assert self.post(peer, 13, b"{}", extra=[("x", "y" * 2000)]).status == "431"
        assert self.post(peer, 15, b"{}", extra=[("host", "other")]).status == "400"
        assert self.post(peer, 17, b"{}", extra=[("expect", "100-continue")]).headers[0][":status"] == "100"
        assert server.checks() == 1
        assert not peer.goaways

    def test_a_body_in_pieces_and_one_that_never_ends(self, serve, connect):
        _, address = serve(stall_timeout_ms=1000)
        peer = connect(address)
        peer.send(peer.window(0, 1 << 24))
        peer.send(peer.headers(1, CHECK, content_type="application/json"))
        peer.send(peer.headers(3, CHECK, content_type="application/json"))
        for piece in (b'{"pa', b'th":"/d', b'eny"}'):
            peer.send(peer.data(1, piece, end=False), peer.data(3, piece, end=False))
        peer.send(peer.data(1, b" "))
        assert json.loads(peer.answer(1).body)["status"] == 429
        stream = 5
        while not peer.answers[3].ended:
            assert self.post(peer, stream, b"{}").status == "200"
            stream += 2
        assert peer.answers[3].status == "408"
