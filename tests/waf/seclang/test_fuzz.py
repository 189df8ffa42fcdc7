"""Whatever a file holds: a configuration, or a PolicyError. Nothing else is raised, and nothing takes long."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd.errors import Diagnostic, PolicyError
from ratelimitd.policy.render import as_data
from ratelimitd.policy.render import render as render_diagnostics
from ratelimitd.waf.seclang import parse
from ratelimitd.waf.seclang.render import render
from ratelimitd.waf.seclang.tree import Directive
from ratelimitd.waf.seclang.words import ACTIONS, CTL_OPTIONS, DIRECTIVES

HERE = Path(__file__).resolve().parent
TEXTS = [path.read_bytes() for path in sorted((HERE / "bad").glob("*.conf"))]
SEED = b"""\
SecRuleEngine On
SecDefaultAction "phase:1,log,pass,t:lowercase"
SecRule ARGS|!ARGS:/^a{1,2}/|&TX:b|XML:/*|TX:'/a|b/' "!@rx ^a\\"%{tx.c}" \\
    "id:1,phase:1,deny,status:403,t:none,t:urlDecodeUni,msg:'a, %{MATCHED_VAR}',setvar:'tx.a=+%{tx.b}',chain"
    SecRule REQUEST_HEADERS:User-Agent "@pm a b" "t:lowercase,capture,setvar:!tx.d"
SecAction "id:2,phase:1,nolog,pass,ctl:ruleRemoveTargetById=942100;ARGS:q,skipAfter:END"
SecMarker "END"
SecRuleRemoveById 3 5-7
SecRuleUpdateTargetById 1 "!ARGS:x"
"""
PIECES = [
    *(word.encode() for word in (*DIRECTIVES.values(), *ACTIONS, *CTL_OPTIONS)),
    b'"', b"'", b"\\", b"\\\n", b"\n", b"\r\n", b" ", b",", b"|", b":", b"=", b"!", b"&", b"/", b"#", b"%{", b"}",
    b"@rx ", b"ARGS", b"TX:a", b"id:1", b"t:none", b"\x00", b"\xff", b"\xef\xbb\xbf", b"99999999999999999999", b"-",
]  # fmt: skip


def check(text: bytes) -> None:
    directives, diagnostics = outcome(text)
    as_data(diagnostics)
    render_diagnostics(diagnostics)
    for diagnostic in diagnostics:
        assert diagnostic.position is not None
        assert diagnostic.position.line <= text.count(b"\n") + 1
    for directive in directives:
        render(directive)


def outcome(text: bytes) -> tuple[tuple[Directive, ...], list[Diagnostic]]:
    try:
        return parse(text, "/nonexistent/fuzz.conf").directives, []
    except PolicyError as error:
        return (), error.diagnostics


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join))
def test_words_in_any_order(text: bytes) -> None:
    check(text)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(text: bytes) -> None:
    check(text)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([SEED, *TEXTS]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), st.sampled_from(PIECES)), min_size=1, max_size=4),
)
def test_rules_with_a_few_changes(text: bytes, changes: list[tuple[float, int, bytes]]) -> None:
    for place, cut, piece in changes:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + cut :]
    check(text)


@settings(deadline=None)
@given(st.integers(0, len(SEED)))
def test_rules_that_end_anywhere(length: int) -> None:
    check(SEED[:length])


N = 200_000


@pytest.mark.parametrize(
    "text",
    [
        b'SecRule ARGS "' * N,
        b"SecAction \"id:1,msg:'" * N,
        b'SecAction "id:1,' * N,
        b'SecAction "' + b"t:none," * N,
        b"SecRule " + b"ARGS:/a," * N,
        b"SecRule ARGS:/" + b"/," * N + b"/ x",
        b'SecRule ARGS "@rx ' + b"\\%{" * (N // 4) + b'" "id:1"',
        b'SecRule ARGS "@rx ' + b"%{tx.a}" * (N // 8) + b'" "id:1"',
        b'SecRule ARGS "@rx ' + b"\\" * N + b'" "id:1"',
        b"SecAction \"setvar:'tx." + b"%{tx.a}" * 9000 + b"=1'\"",
        b"#SecRule x \\" + b"\\ " * N,
        b"#SecRule x \\\n" * N,
        b"\\\n" * N,
        b" " * N + b"\n" + b"\t" * N,
        b"SecRuleRemoveById " + b"1-2," * N,
        b'SecMarker "' + b"\n#" * N,
        b"SecRule ARGS a id:1," + b"pass," * N,
        b"Include " + b"*" * N,
        b"Include " + b"*/../" * 40,
        b"Include a\x00b",
        b'SecRule ARGS "@pmFromFile a\x00b"',
        b'SecRule ARGS "@pmFromFile ' + b"x " * (N // 2) + b'" "id:1,pass"',
        b'SecRule ARGS "@rx a" "chain"\n' * 5000,
        b'SecRule ARGS "@ipMatch ' + b"1.1.1.1," * 20_000 + b'1" "id:1"',
    ],
    ids=lambda text: text[:24].decode("ascii", "replace"),
)
def test_nothing_takes_long(text: bytes) -> None:
    """A megabyte of the worst kind in a second or so; what grows with the square would take minutes."""
    begun = process_time()
    check(text)
    assert process_time() - begun < 4
