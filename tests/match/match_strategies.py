"""Random requests, clients and matches over alphabets so small that they often meet."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

from ratelimitd.policy.plan import Cidr, Client, Condition, Match, Op, Source
from ratelimitd.policy.request import Request

MAPPED = bytes(10) + b"\xff\xff"


def texts(alphabet: str, most: int = 12) -> st.SearchStrategy[bytes]:
    return st.text(st.sampled_from(alphabet), max_size=most).map(str.encode)


def packed(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else MAPPED + address.packed


ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "192.0.2.1", "192.0.2.129", "2001:db8::1", "2001:db8:0:1::2", "::1"]
GARBAGE = ["", " ", "unknown", "_x", "10.0.0", "10.0.0.1.2", "::g", "[::1", "1.2.3.4:99999", "010.0.0.1", "\xff", "%"]
DECORATED = ["10.0.0.1:80", " 10.0.0.2\t", "[2001:db8::1]:443", "[::1]", "fe80::1%eth0", "::ffff:10.0.0.1"]
entries = st.sampled_from(ADDRESSES) | st.sampled_from(ADDRESSES + GARBAGE + DECORATED)
chains = st.lists(entries, max_size=5).map(lambda found: ",".join(found).encode("latin-1"))
peers = (st.sampled_from(ADDRESSES) | st.sampled_from(GARBAGE + DECORATED)).map(lambda text: text.encode("latin-1"))

cidrs = st.builds(
    lambda text, prefix: Cidr(packed(text), 128 if prefix > 128 else prefix),
    st.sampled_from(ADDRESSES),
    st.sampled_from([0, 32, 64, 96, 100, 104, 112, 120, 121, 127, 128]),
)
clients = st.builds(
    Client,
    trusted=st.lists(cidrs, max_size=3).map(tuple),
    hops=st.sampled_from([0, 0, 0, 1, 2, 3, 70]),
    header=st.sampled_from([b"x-forwarded-for", b"x-forwarded-for", b"cf-connecting-ip"]),
    ipv4_prefix=st.sampled_from([32, 24, 0]),
    ipv6_prefix=st.sampled_from([64, 128, 48, 0]),
)

paths = (
    texts("/ab.")
    | texts("/abAB%2eEfF.+?=&#\x80")
    | st.sampled_from([b"", b"*", b"http://h/a/b?a=b", b"/a/../b", b"//"])
)
hosts = texts("abA.:[]1") | st.sampled_from([b"a.b", b"A.B:80", b"[::1]:80", b"a.b.:80", b"::1", b"[", b".", b""])
values = texts("abAB") | texts("ab=;&%2 ,*", 8) | entries.map(lambda text: text.encode("latin-1"))
header_names = st.sampled_from([b"x-a", b"x-b", b"cookie", b"cookie"])
forwarded = st.tuples(st.sampled_from([b"x-forwarded-for", b"x-forwarded-for", b"cf-connecting-ip"]), chains)
headers = st.lists(st.tuples(header_names, values) | forwarded, max_size=8).map(tuple)
requests = st.builds(
    Request,
    method=st.sampled_from([b"GET", b"POST", b"get", b""]),
    path=paths,
    host=hosts,
    scheme=st.sampled_from([b"http", b"https", b""]),
    headers=headers,
    source_address=peers,
    attributes=st.lists(st.tuples(st.sampled_from([b"a", b"b"]), values), max_size=3).map(tuple),
)

NAMED = {Source.HEADER: [b"x-a", b"x-b"], Source.COOKIE: [b"a", b"b", b""], Source.QUERY: [b"a", b"b", b"", b"ab"]}
NAMED |= {Source.ATTRIBUTE: [b"a", b"b"]}
path_globs = texts("/ab.*", 8) | st.lists(
    st.sampled_from(["/", "/", "a", "b", ".", "*", "**", "{x}", "{y}", "\\", "{", "}", "/*"]), max_size=8
).map(lambda pieces: "".join(pieces).encode())
regexes = st.lists(
    st.sampled_from(["a", "b", "/", ".", "a*", "b+", "[ab]", "(?:a|b)", "(?:/a)?", ".*", "[^/]*", "\\."]), max_size=5
).map(lambda pieces: "".join(pieces).encode())
OPERANDS = {
    Source.METHOD: st.sampled_from([b"GET", b"POST", b"G", b"T", b""]),
    Source.SCHEME: st.sampled_from([b"http", b"https", b"s"]),
    Source.HOST: texts("abA.", 4),
    Source.PATH: texts("/ab.", 6),
    Source.RAW_PATH: texts("/ab.%2", 6),
    Source.CLIENT_IP: st.sampled_from([*ADDRESSES, "10.0.", "2001:db8::", "1"]).map(str.encode),
}


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    source = draw(st.sampled_from([s for s in Source if 0 < s < Source.BODY_SIZE and s is not Source.PATH_PARAM]))
    op = draw(st.sampled_from(list(Op)))
    operand = OPERANDS.get(source, texts("abAB", 3))
    if op is Op.GLOB:
        operand = path_globs if source in (Source.PATH, Source.RAW_PATH) else texts("abA*?.\\", 5)
    elif op is Op.REGEX:
        operand = regexes
    many = op in (Op.EXACT, Op.PREFIX, Op.SUFFIX) and draw(st.integers(0, 9)) == 0
    return Condition(
        source,
        op,
        name=draw(st.sampled_from(NAMED.get(source, [b""]))),
        operands=() if op in (Op.PRESENT, Op.CIDR) else tuple(draw(st.lists(operand, max_size=12 if many else 3))),
        cidrs=tuple(draw(st.lists(cidrs, max_size=3))) if op is Op.CIDR else (),
        negate=draw(st.booleans()) and draw(st.booleans()),
        ignore_case=op not in (Op.PRESENT, Op.CIDR, Op.REGEX) and draw(st.booleans()),
    )


matches = st.lists(st.lists(conditions(), max_size=3).map(tuple), max_size=3).map(lambda found: Match(tuple(found)))
