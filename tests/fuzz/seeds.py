"""Writes the seed corpora: `python -m tests.fuzz.seeds`. A target's bytes are laid out as its .cc file reads them.

Files that this did not write (what fuzzing has found) stay.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpack import Encoder
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from ratelimitd.v1 import ratelimit_pb2 as pb
from ratelimitd.waf.transformation import Transformation

from ..waf.benign.corpus import listed

# The text below as libbrotlienc compresses it.
BROTLI = bytes.fromhex("1b7b0000c4636c5d7df79a32186a28c02ab0646361fa086f01")

CORPUS = Path(__file__).parent / "corpus"
SEPARATOR = b"\xff"

EVASIONS = [
    b"%3Cscript%3Ealert%281%29%3C/script%3E",
    b"%u003cscript%uff1e%%41+%4",
    b"&lt;a href=&#x6a;&#97;vascript&colon;x&gt;&amp",
    rb"\u003cimg\x20src\074\'\\ \u",
    rb"\61 \00003c\ff1c expression",
    rb"a\x41\101\n\?",
    b"SELECT/**/1 /*!50000UNION*/ -- x\n# y <!-- z -->",
    b'c^md "/c" who,a;mi \\\\ C:\\x',
    b"/a/./b/../../..//c\\..\\d/.",
    b"0x414243 0X4 aGVsbG8= aGVs bG8",
    b"414243zz",
    b"\x00a\x00 \t\r\n\x0b\x0c\xa0",
    b"\xef\xbd\x93\xef\xbd\x83ript \xc3\xa9",
    b"\xc0\xbc\xe0\x80\xbc\xf0\x80",
    b"a[b.c d=[e",
]
JSON = [
    b'{"a":[1,-2.5e+10,{"b":null}],"c":"\\u00e9\\n\\ud83d\\ude00","":true}',
    b"[[[[[[[[]]]]]]]]",
    b'{"a":{"a":{"a":{"a":1}}}}',
    b' "x" ',
    b'{"a":1,}',
    b"\xef\xbb\xbf{}",
]
JSON_REQUESTS = [
    b'{"domain":"d","sourceAddress":"203.0.113.7","path":"/\\u00e9\\ud83d\\ude00","host":"h","cost":"2","dryRun":true}',
    b'{"headers":[{"name":"X-A","value":"YQ=="}],"body":"_-8","partial_body":false,"attributes":{"a":"b"},"explain":null}',
    b'{"headers":{"User-Agent":"x"}}',
    b'{"requests":[{"cost":1},{"path":"/"}]}',
    b'{"domain":"d","descriptors":[{"entries":[{"key":"a|","value":"\\u00e9"},{"key":"remote_address"}],"hitsAddend":"2"},'
    b'{"entries":[],"limit":{"requestsPerUnit":1,"unit":"YEAR"},"isNegativeHits":true}],"hits_addend":3}',
]
TYPE = b'multipart/form-data; boundary="xYz"'
PART = b'--xYz\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
MULTIPART = [
    PART % (b"a", b"", b"1") + PART % (b"f", b'; filename="a.txt"', b"x\ny") + b"--xYz--\r\n",
    PART % (b'a\\"b', b"; filename*=UTF-8''a%20b", b"") + b"--xYz",
    b"before\r\n--xYz\nContent-Disposition: form-data;\n name=a\nX: 1\n\n1\n--xYz--\nafter",
]
XML = [
    b'<?xml version="1.0"?><a b="1"><c d="2">text</c><e/><!-- n --><![CDATA[x<y]]></a>',
    b'<!DOCTYPE a [<!ENTITY x "yy"><!ENTITY z "&x;&x;">]><a t="&z;">&z;</a>',
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    b"<a><b></a>",
]
TARGETS = [
    b"/a/b.php?x=1&y=%20%zz#f",
    b"http://h.example:80/../a//b/./c?q",
    b"a=1&b&=c&&d=%u0041+x",
    b"a=1; b=2;c; =d",
    b"*",
    b"/%2e%2e/%5c..\\",
]
OPERATORS = [
    (b"10,13,32-126", b"plain text\r\n"),
    (b"1-255,", b"\x00\x80"),
    (b"10.0.0.0/8, 2001:db8::/32,::1", b"10.1.2.3"),
    (b"::ffff:1.2.3.4", b"[2001:db8::1%eth0]:443"),
    (b"admin", b"an admin, x"),
    (b"12", b" -12.5"),
    (b"99", b"99999999999999999999"),
    (b"a", b"%41%4"),
    (b"4", b"4111 1111 1111 1111"),
    (b"5", b"529.982.247-25"),
]
PATTERNS = [
    (rb"(?i)(select|union)\s+(all\b)?", b"UNION all select "),
    (rb"^(a+)+$", b"aaaaaaaaaaaaaaaaaaaaaaaaaab"),
    (rb"\d{13,16}", b"4111111111111111 1"),
    (rb"(?=(a))\Kb*", b"ab"),
    (rb"x*", b"axxa"),
    (rb"(", b""),
    (rb"[\x80-\xfe]|\bx", "éx".encode()),
]


def texts() -> list[bytes]:
    """One text of each theme of the benign corpus, and evasions."""
    return [themed[0].encode() for themed in listed("texts.yaml").values()] + EVASIONS


def transform() -> Iterator[bytes]:
    for kind in Transformation:
        yield bytes([kind]) + EVASIONS[kind % len(EVASIONS)]
    for number, text in enumerate(texts()):
        yield bytes([number * 7 % len(Transformation)]) + text[:200]


def inflate() -> Iterator[bytes]:
    text = b"some text, some text, some text" * 4
    raw = zlib.compressobj(wbits=-15)
    bodies = [
        (b"gzip", gzip.compress(text, mtime=0)),
        (b"deflate", zlib.compress(text)),
        (b"deflate", raw.compress(text) + raw.flush()),
        (b"br", BROTLI),
        (b"br, gzip", gzip.compress(BROTLI, mtime=0)),
        (b"gzip", gzip.compress(bytes(100_000), mtime=0)),
        (b"gzip", gzip.compress(text, mtime=0)[:-9]),
        (b"identity, x", text),
    ]
    for coding, body in bodies:
        yield b"\x08\x40" + coding + SEPARATOR + body


def messages() -> Iterator[bytes]:
    header = {"name": "X-Forwarded-For", "value": b"203.0.113.7"}
    plain: dict[str, Any] = {"method": "POST", "path": "/a?b=1", "headers": [header, {"name": ":path", "value": b"/"}]}
    ours = pb.CheckRequest(
        **plain, domain="shop", source_address="[2001:db8::1]:443", body=b"x=1", attributes={"plan": "gold"}, cost=3
    )
    yield ours.SerializeToString()
    yield pb.CheckBatchRequest(requests=[ours, ours]).SerializeToString()
    yield pb.InspectResponseRequest(
        request=ours, status=404, headers=[{"name": "Server", "value": b"x"}], body=b"not found", partial_body=True
    ).SerializeToString()
    yield from envoy()
    yield rate_limit()


def rate_limit() -> bytes:
    """An envoy.service.ratelimit.v3.RateLimitRequest: two entries of one key, a limit, hits."""
    entries = b"".join(field(1, field(1, key) + field(2, b"1")) for key in (b"a|b", b"a|b", b"remote_address"))
    descriptor = entries + field(2, b"\x08\x05\x10\x02") + field(3, b"\x08\x00")
    return field(1, b"edge") + field(2, descriptor) + field(2, field(1, field(1, b"a"))) + b"\x18\x03"


def field(number: int, value: bytes) -> bytes:
    assert len(value) < 0x4000
    return (
        bytes([number << 3 | 2])
        + (bytes([len(value)]) if len(value) < 0x80 else bytes([len(value) & 0x7F | 0x80, len(value) >> 7]))
        + value
    )


def envoy() -> Iterator[bytes]:
    """envoy.service.auth.v3.CheckRequest: AttributeContext{source, request{http}, context_extensions, metadata}."""

    def entry(name: bytes, value: bytes) -> bytes:
        return field(1, name) + field(2, value)

    address = field(1, field(1, field(2, b"203.0.113.7") + b"\x18\x50"))
    headers = field(3, entry(b":path", b"/a?b=1")) + field(3, entry(b"x-envoy-auth-partial-body", b"true"))
    http = (
        field(1, b"id") + field(2, b"GET") + headers + field(4, b"/a") + field(5, b"shop.example") + field(12, b"raw")
    )
    metadata = field(1, entry(b"a.b", field(1, entry(b"c", field(3, b"d")))))
    extensions = field(10, entry(b"ratelimitd_domain", b"shop")) + field(10, entry(b"ratelimitd_cost", b"2"))
    yield field(1, field(1, address) + field(4, field(2, http)) + extensions + field(11, metadata))


def http2() -> Iterator[bytes]:
    encoder = Encoder()
    block = encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/ratelimitd.v1.RateLimitService/Check"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-timeout", "1S"),
        ]
    )
    body = b"\x00\x00\x00\x00\x04echo"
    call = [HeadersFrame(1, block, flags=["END_HEADERS"]), DataFrame(1, body, flags=["END_STREAM"])]
    cut = [HeadersFrame(1, block[:9]), HeadersFrame(3, block, flags=["END_HEADERS", "END_STREAM"])]
    reset = [HeadersFrame(1, block, flags=["END_HEADERS"]), RstStreamFrame(1, 8), PingFrame(0, b"12345678")]
    for frames in (call, cut, reset, [SettingsFrame(0, settings={4: 0}), *call]):
        yield b"\x03\x02" + b"".join(frame.serialize() for frame in frames)


def http1() -> Iterator[bytes]:
    told = b"X-Original-Method: GET\r\nX-Original-URI: /a?b\r\nX-Forwarded-For: ::1, 203.0.113.7\r\n"
    head = b"POST /auth;domain=a HTTP/1.1\r\nHost: h.example:80\r\n" + told
    chunks = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n"
    for start, request in (
        (b"\x01\xff", head + b"\r\n" + head + b"Connection: close\r\n\r\n"),
        (b"\x01\x00", b"\r\n" + head + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc" + head + b"\r\n"),
        (b"\x01\x08", head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + head + b"\r\n"),
        (b"\xff\x01", b"GET http://h/auth/envoy;deny_status=403/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ):
        yield start + request


def sized(content: bytes, width: int = 2) -> bytes:
    return len(content).to_bytes(width, "big") + content


def client_hello() -> bytes:
    """Of TLS 1.2, in a record of its own (RFC 5246, 7.4.1.2): P-256, ECDSA, ALPN."""
    extensions = (
        (10, sized(b"\x00\x17")),  # supported_groups
        (13, sized(b"\x04\x03")),  # signature_algorithms
        (16, sized(sized(b"h2", 1) + sized(b"http/1.1", 1))),
    )
    listed = b"".join(kind.to_bytes(2, "big") + sized(content) for kind, content in extensions)
    body = b"\x03\x03" + bytes(32) + b"\x00" + sized(b"\xc0\x2b\xc0\x2f") + b"\x01\x00" + sized(listed)
    return b"\x16\x03\x01" + sized(b"\x01" + sized(body, 3))


def tls() -> Iterator[bytes]:
    """What is no TLS; a ClientHello, whole and cut; then clients whose bytes are passed on as they are, or spoilt."""
    whole = client_hello()
    yield b"\x00\xff" + whole
    yield b"\x01\x00" + whole[:60]
    yield b"\x00\xff" + whole[:3] + b"\xff\xff" + whole[5:]
    yield b"\x00\xffGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x00\xff\x15\x03\x03\x00\x02\x02\x28"
    untouched, act = b"\x00" * 3, b"\x11\x20\x00"
    for how in (0x08, 0x09, 0x0A, 0x0D, 0x0F):
        yield bytes([how]) + untouched + act * 3 + b"\x28\x00"
        yield bytes([how]) + b"\x80\x00\x2b\x01" + untouched
    yield b"\x0c" + untouched + act + b"\x01\x08\x80\x00\x10\x01" + act  # a sealed record with an error
    yield b"\x0c" + untouched + b"\x02\x00" * 12 + act  # new keys
    yield b"\x0c\x40\x00" + untouched + act  # byte by byte


def corpora() -> dict[str, list[bytes]]:
    return {
        "transform": list(transform()),
        "query": TARGETS + EVASIONS[:4],
        "json_args": [b"\x10\xfe" + text for text in JSON],
        "form_data": [TYPE + SEPARATOR + body for body in MULTIPART],
        "xml": [b"\x40\x08\x08" + text for text in XML],
        "inflate": list(inflate()),
        "operators": [param + SEPARATOR + text for param, text in OPERATORS],
        "pcre": [b"\x00" + pattern + SEPARATOR + text for pattern, text in PATTERNS],
        "messages": list(messages()),
        "http2": list(http2()),
        "http1": list(http1()),
        "json": JSON_REQUESTS,
        "tls": list(tls()),
        "injection": [text[:300] for text in texts()],
    }


def main() -> None:
    for target, inputs in corpora().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("seed-*"):
            old.unlink()
        for number, content in enumerate(dict.fromkeys(inputs)):
            (folder / f"seed-{number:02}").write_bytes(content)


if __name__ == "__main__":
    main()
