"""The oracle says which rules libmodsecurity logged."""

from __future__ import annotations

import pytest

from . import engines
from .message import Request, Response, headers

RULES = r"""
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecRule ARGS:a "@streq x" "id:1,phase:2,pass,log,msg:'found %{MATCHED_VAR}'"
SecRule REQUEST_HEADERS:X-A "@rx ^\xff$" "id:2,phase:1,pass,log"
SecRule REQUEST_PROTOCOL "@streq HTTP/2.0" "id:3,phase:1,pass,log"
SecRule ARGS:a "@streq x" "id:4,phase:2,pass,nolog"
SecRule RESPONSE_BODY "@contains secret" "id:5,phase:4,pass,log"
"""


def test_every_phase() -> None:
    engine = engines.oracle([RULES])
    request = Request("GET", b"/?a=x", headers([("X-A", b"\xff")]), version="HTTP/2.0")
    assert engine(request) == {1, 2, 3}, "4 is not logged"
    answer = Response(200, headers([("Content-Type", "text/plain")]), b"a secret")
    assert engine(request, answer) == {1, 2, 3, 5}
    form = Request("POST", b"/", headers([("Content-Type", "application/x-www-form-urlencoded")]), b"a=x")
    assert engine(form) == {1}


def test_texts() -> None:
    pytest.importorskip("libmodsecurity")
    from .oracle import Oracle

    (match,) = Oracle([RULES]).matches(Request("GET", b"/?a=x", ()))
    assert (match.rule, match.message) == (1, "found x")


def test_rules_that_do_not_load() -> None:
    pytest.importorskip("libmodsecurity")
    from .oracle import Oracle, RulesError

    with pytest.raises(RulesError, match="Line: 1"):
        Oracle(["SecNonsense On"])


def test_variables() -> None:
    pytest.importorskip("libmodsecurity")
    from .crs.ruleset import BASE
    from .oracle import Variables

    read = Variables(BASE, "ARGS|&ARGS|REQUEST_COOKIES")
    head = headers([("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", "c=d")])
    assert read(Request("POST", b"/?a=1", head, b"a=%ff%00,'&b=")) == [
        (b"ARGS", b"3"),
        (b"ARGS:a", b"1"),
        (b"ARGS:a", b"\xff\x00,'"),
        (b"ARGS:b", b""),
        (b"REQUEST_COOKIES:c", b"d"),
    ]
    assert Variables(BASE, "ARGS:a", transformations="t:uppercase")(Request("GET", b"/?a=b", ())) == [(b"ARGS:a", b"B")]
