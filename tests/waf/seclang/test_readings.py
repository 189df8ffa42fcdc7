"""What the words of SecLang are read as, held against libmodsecurity where both can be asked."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ratelimitd.errors import PolicyError
from ratelimitd.waf.seclang import parse
from ratelimitd.waf.seclang.render import render
from ratelimitd.waf.seclang.tree import (
    Configuration,
    Ctl,
    IdRange,
    Marker,
    Reference,
    RemoveRules,
    Rule,
    Selector,
    Setting,
    SetVar,
    UpdateAction,
    UpdateTarget,
)
from ratelimitd.waf.seclang.words import (
    COLLECTIONS,
    FROM_FILE,
    NO_ARGUMENT,
    OPERATOR_ALIASES,
    OPERATORS,
    SCALARS,
    TRANSFORMATION_ALIASES,
    TRANSFORMATIONS,
)


def rule_of(text: str) -> Rule:
    (rule,) = parse(text.encode()).rules()
    return rule


def selectors_of(text: str) -> tuple[Selector, ...]:
    return rule_of(f'SecRule {text} "@rx a" "id:1,pass"').selectors


def actions_of(text: str) -> Rule:
    return rule_of(f'SecAction "id:1,{text}"')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARGS", (Selector("ARGS"),)),
        ("args|!ARGS:a", (Selector("ARGS"), Selector("ARGS", name=b"a", exclude=True))),
        ("&TX:Score,REQUEST_URI", (Selector("TX", name=b"Score", count=True), Selector("REQUEST_URI"))),
        ('"ARGS:a|ARGS.b"', (Selector("ARGS", name=b"a"), Selector("ARGS", name=b"b"))),
        ("XML:/*|XML://@*", (Selector("XML", name=b"/*"), Selector("XML", name=b"//@*"))),
        ("ARGS:/^a{1,2}/|TX:b", (Selector("ARGS", regex=b"^a{1,2}"), Selector("TX", name=b"b"))),
        ("TX:'/^a|b/'|ARGS", (Selector("TX", regex=b"^a|b"), Selector("ARGS"))),
        ("ARGS:/a/b", (Selector("ARGS", name=b"/a/b"),)),
        ("ARGS:/a/,ARGS:/b/", (Selector("ARGS", regex=b"a"), Selector("ARGS", regex=b"b"))),
        ("ARGS:foo[bar][]", (Selector("ARGS", name=b"foo[bar][]"),)),
    ],
)
def test_selectors(text: str, expected: tuple[Selector, ...]) -> None:
    assert selectors_of(text) == expected


@pytest.mark.parametrize(
    ("text", "name", "negated", "argument"),
    [
        ('"@rx ^a"', "rx", False, b"^a"),
        ('"^a b"', "rx", False, b"^a b"),
        ('"!^a"', "rx", True, b"^a"),
        ("^a", "rx", False, b"^a"),
        ('"!@streq  1 "', "streq", True, b" 1 "),
        ('"@STREQ a\\"b"', "streq", False, b'a\\"b'),
        ('"@streq a\\\\"', "streq", False, b"a\\\\"),
        ('"@detectSQLi"', "detectsqli", False, b""),
        ('"@detectXSS "', "detectxss", False, b""),
        ('"@beginsWith %{tx.a}/"', "beginswith", False, b"%{tx.a}/"),
    ],
)
def test_operators(text: str, name: str, negated: bool, argument: bytes) -> None:
    operator = rule_of(f'SecRule ARGS {text} "id:1,pass"').operator
    assert operator is not None
    assert (operator.name, operator.negated, operator.argument) == (name, negated, argument)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("setvar:tx.a=1", SetVar("TX", (b"a",), "=", (b"1",))),
        ("setvar:'tx.a=+%{tx.b}'", SetVar("TX", (b"a",), "+", (Reference("TX", b"b"),))),
        ("setvar:tx.a=-5", SetVar("TX", (b"a",), "-", (b"5",))),
        ("setvar:!TX.a", SetVar("TX", (b"a",), "!", ())),
        ("setvar:tx.a", SetVar("TX", (b"a",), "=", (b"1",))),
        ("setvar:'tx.a='", SetVar("TX", (b"a",), "=", ())),
        ("setvar:'ip.a_%{ARGS.x}=b c'", SetVar("IP", (b"a_", Reference("ARGS", b"x")), "=", (b"b c",))),
        ("setvar:'tx.a=%{MATCHED_VAR}, 1=2'", SetVar("TX", (b"a",), "=", (Reference("MATCHED_VAR", None), b", 1=2"))),
        ("ctl:ruleEngine=off", Ctl("ruleEngine", b"Off")),
        ("ctl:ruleRemoveById=1-3", Ctl("ruleRemoveById", b"1-3", (IdRange(1, 3),))),
        ("ctl:ruleRemoveByTag=attack/sqli", Ctl("ruleRemoveByTag", b"attack/sqli")),
        (
            "ctl:ruleRemoveTargetById=7;ARGS:a[b]",
            Ctl("ruleRemoveTargetById", b"7", (IdRange(7, 7),), Selector("ARGS", name=b"a[b]")),
        ),
        (
            "ctl:ruleRemoveTargetByTag=OWASP_CRS;REQUEST_COOKIES",
            Ctl("ruleRemoveTargetByTag", b"OWASP_CRS", (), Selector("REQUEST_COOKIES")),
        ),
        ("severity:CRITICAL", 2),
        ("severity:'5'", 5),
        ("status:403", 403),
        ("msg:'a, \"b\" %{tx.c}% d'", (b'a, "b" ', Reference("TX", b"c"), b" d")),
        ("msg:x y z ", (b"x y z",)),
        ("msg:'a\\%{tx.a}%%{tx.b}'", (b"a\\%{tx.a}%%{tx.b}",)),
    ],
)
def test_actions(text: str, expected: object) -> None:
    (action,) = actions_of(text).actions
    assert action.value == expected


def test_transformations_behind_none() -> None:
    """SecDefaultAction's come first where no t:none stands, wherever SecDefaultAction does."""
    rules = parse(
        b'SecRule ARGS "@rx a" "id:1,phase:2,t:lowercase,t:none,t:normalisePath"\n'
        b'SecRule ARGS "@rx a" "id:2,phase:2,t:trim"\n'
        b'SecRule ARGS "@rx a" "id:3,phase:1,t:trim"\n'
        b'SecDefaultAction "phase:2,log,deny,t:urlDecode"\n'
        b'SecRule ARGS "@rx a" "id:4,phase:2,deny,chain"\n'
        b'  SecRule ARGS "@rx a" "t:trim"\n'
    ).rules()
    assert [rule.transformations for rule in rules] == [
        ("normalizePath",),
        ("urlDecode", "trim"),
        ("trim",),
        ("urlDecode",),
    ]
    assert rules[3].chained is not None
    assert rules[3].chained.transformations == ("urlDecode", "trim")
    assert [a.name for a in rules[0].defaults] == ["log", "deny"]
    assert rules[2].defaults == ()


def test_a_chain_is_one_rule_and_has_one_phase() -> None:
    (rule,) = parse(
        b'SecRule ARGS "@rx a" \\\r\n "id:1,\\\r\n phase:request,\\\r\n deny,chain"\r\n'
        b'\t SecRule TX:a "@eq 1" "chain"\r\n\r\n# a comment \\\r\nSecRule TX:b "@eq 1"\r\n'
    ).rules()
    links = [rule, rule.chained, rule.chained and rule.chained.chained]
    assert [link.phase if link else 0 for link in links] == [2, 2, 2]
    assert [link.position.line if link else 0 for link in links] == [1, 5, 8]


def test_a_hidden_rule_is_hidden_with_its_lines() -> None:
    """As in libmodsecurity a comment goes on behind a backslash when it hides a rule, and else does not."""
    configuration = parse(
        b'# SecRule ARGS "@rx a" \\\n    "id:1,\\\n    pass"\nSecMarker A\n'
        b'# any \\\nSecMarker B # end\n#SecAction "\\\n id:2"\n'
    )
    assert [d.name for d in configuration.directives if isinstance(d, Marker)] == [b"A", b"B"]


def test_directives() -> None:
    configuration = parse(
        b"\xef\xbb\xbfSecRuleEngine detectiononly\n"
        b"secrequestbodylimit 100\n"
        b"SecResponseBodyMimeType text/plain text/html\n"
        b'SecComponentSignature "OWASP CRS"\n'
        b'SecRuleRemoveById 1 "3-5",7\n'
        b'SecRuleRemoveByMsg "a b"\n'
        b'SecRuleUpdateTargetById 1-2 "!ARGS:a,!ARGS:/^b/"\n'
        b"SecRuleUpdateTargetByTag attack-sqli !ARGS:a|XML:/*\n"
        b'SecRuleUpdateActionById 5:1 "pass,t:none,t:trim"\n'
    )
    engine, limit, types, signature, by_id, by_msg, target, by_tag, action = configuration.directives
    assert isinstance(engine, Setting)
    assert (engine.name, engine.value, engine.effect) == ("SecRuleEngine", "DetectionOnly", "used")
    assert isinstance(limit, Setting)
    assert (limit.name, limit.value) == ("SecRequestBodyLimit", 100)
    assert isinstance(types, Setting)
    assert types.arguments == (b"text/plain", b"text/html")
    assert isinstance(signature, Setting)
    assert (signature.value, signature.effect) == (b"OWASP CRS", "none")
    assert isinstance(by_id, RemoveRules)
    assert by_id.ids == (IdRange(1, 1), IdRange(3, 5), IdRange(7, 7))
    assert isinstance(by_msg, RemoveRules)
    assert by_msg.text == b"a b"
    assert isinstance(target, UpdateTarget)
    assert target.selectors[1] == Selector("ARGS", regex=b"^b", exclude=True)
    assert isinstance(by_tag, UpdateTarget)
    assert (by_tag.text, by_tag.selectors[1]) == (b"attack-sqli", Selector("XML", name=b"/*"))
    assert isinstance(action, UpdateAction)
    assert (action.id, action.link, action.transformations, action.resets) == (5, 1, ("trim",), True)
    again = parse("\n".join(map(render, configuration.directives)).encode())
    assert [render(d) for d in again.directives] == [render(d) for d in configuration.directives]


# Beside libmodsecurity


def judge(text: str) -> list[tuple[str, str, str]] | None:
    """(message, logdata, operator's argument) of each match on an empty request; None when the rules are refused."""
    native = pytest.importorskip("libmodsecurity")
    rules = native.RulesSet()
    try:
        if rules.load("SecRuleEngine On\n" + text) < 0:
            return None
    except Exception:
        return None
    engine = native.ModSecurity()
    engine.set_log_callback(lambda _: None)
    transaction = native.Transaction(engine, rules)
    transaction.process_connection("127.0.0.1", 1, "127.0.0.1", 80)
    transaction.process_uri("/", "GET", "1.1")
    transaction.process_request_headers()
    found = []
    for message in transaction.get_rule_messages():
        argument = re.search(r"with parameter `(.*)' against", message.match, re.DOTALL)
        found.append((message.message, message.data, argument[1] if argument else ""))
    return found


def accepted(text: str) -> Configuration | None:
    try:
        return parse(text.encode())
    except PolicyError:
        return None


@pytest.mark.parametrize("variable", sorted(COLLECTIONS | SCALARS))
def test_libmodsecurity_knows_the_variable(variable: str) -> None:
    """And takes a selector just where we do."""
    plain = f'SecRule {variable} "@rx a" "id:1,phase:1,pass"'
    assert judge(plain) is not None
    assert accepted(plain)
    selected = f'SecRule {variable}:a "@rx a" "id:1,phase:1,pass"'
    assert (judge(selected) is not None) == bool(accepted(selected)) == (variable in COLLECTIONS)


# Of its own suite, which it has no words for.
WORDLESS = {"nomatch", "phpargsnames"}


@pytest.mark.parametrize("name", sorted({*TRANSFORMATIONS, *TRANSFORMATION_ALIASES} - WORDLESS))
def test_libmodsecurity_knows_the_transformation(name: str) -> None:
    text = f'SecRule ARGS "@rx a" "id:1,phase:1,pass,t:{name}"'
    assert judge(text) is not None
    assert accepted(text)


ARGUMENTS = {
    "ipmatch": "10.0.0.1",
    "rsub": "s/a/b/",
    "validatebyterange": "1-255",
    "verifycc": "a",
    "verifycpf": "a",
    "verifyssn": "a",
    "verifysvnr": "a",
}
# It needs a file, a database, or a library that this build of libmodsecurity lacks.
UNASKED = {
    *FROM_FILE,
    *OPERATOR_ALIASES,
    "fuzzyhash",
    "geolookup",
    "gsblookup",
    "inspectfile",
    "validatedtd",
    "validateschema",
}


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - UNASKED - WORDLESS))
def test_libmodsecurity_knows_the_operator(name: str) -> None:
    """A word that it does not know is a pattern to it."""
    argument = "" if name in NO_ARGUMENT else f" {ARGUMENTS.get(name, '1')}"
    text = f'SecRule REMOTE_ADDR "!@{name}{argument}" "id:1,phase:1,pass,log"'
    assert accepted(text)
    for _, _, parameter in judge(text) or []:
        assert not parameter.startswith("@")


PIECES = [
    "a",
    "b c",
    "\\",
    '"',
    "'",
    ",",
    " ",
    "%",
    "=",
    "|",
    "{",
    "}",
    "\t",
    "#",
    "%{REQUEST_METHOD}",
    "%{tx.n}",
    "é",
    "/",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join))
def test_an_argument_has_the_bytes_that_libmodsecurity_gives_it(text: str) -> None:
    """What both accept, both read alike: an operator's argument as it stands, a message with its macros.

    But for a lone `%` with what ends the text, or with a backslash, behind it: libmodsecurity takes these in pairs.
    """
    assume(not re.search(r"%[^{]*[\",\\]|%\Z", text))
    rule = f'SecRule REQUEST_METHOD "!@streq x{text}" "id:1,phase:1,pass,log,msg:\'m\'"'
    ours, theirs = accepted(rule), judge(rule)
    if ours is not None and theirs:
        operator = ours.rules()[0].operator
        assert operator is not None
        assert expanded(operator.template) == theirs[0][2].encode() or "%{" in text
    for quoted in (f"'x{text}'", f"x{text}"):
        rule = f"SecAction \"id:1,phase:1,pass,log,setvar:tx.n=7,msg:{quoted},logdata:'d'\""
        ours, theirs = accepted(rule), judge(rule)
        if ours is not None and theirs:
            message = next(a for a in reversed(ours.rules()[0].actions) if a.name == "msg")
            assert isinstance(message.value, tuple)
            assert expanded(message.value).strip() == theirs[0][0].encode().strip(), rule


def expanded(template: object) -> bytes:
    assert isinstance(template, tuple)
    values = {"REQUEST_METHOD": b"GET", "TX": b"7"}
    return b"".join(part if isinstance(part, bytes) else values[part.collection] for part in template)
