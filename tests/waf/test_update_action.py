"""SecRuleUpdateActionById: what a rule has once is replaced, what it may have often is added."""

from __future__ import annotations

import pytest

from ratelimitd.errors import PolicyError
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.program import Change, Disruption, Link
from ratelimitd.waf.seclang import parse
from ratelimitd.waf.transformation import Transformation

RULE = "SecRule ARGS \"@rx a\" \"id:1,phase:2,deny,status:403,msg:'one',tag:'x',t:none,t:lowercase,setvar:tx.a=1\"\n"
CHAIN = 'SecRule ARGS "@rx a" "id:2,phase:2,deny,chain"\nSecRule ARGS "@rx b" "t:none,setvar:tx.b=1"\n'


def links(text: str) -> list[Link]:
    return list(compile_rules(parse(text.encode())).links)


def updated(which: str, actions: str) -> list[Link]:
    return links(RULE + CHAIN + f'SecRuleUpdateActionById {which} "{actions}"')


def test_what_there_is_once_is_replaced() -> None:
    rule = updated("1", "pass,msg:'two',severity:3,nolog")[0]
    assert (rule.disruption, rule.message, rule.severity, rule.log) == (Disruption.NONE, (b"two",), 3, False)
    assert rule.status == 403
    assert updated("1", "status:429")[0].status == 429


def test_what_there_may_be_often_is_added() -> None:
    rule = updated("1", "setvar:tx.c=2,tag:'y',t:trim")[0]
    assert [(change.name, change.change) for change in rule.sets] == [((b"a",), Change.SET), ((b"c",), Change.SET)]
    assert rule.tags == (b"x", b"y")
    assert rule.transformations == (Transformation.LOWERCASE, Transformation.TRIM)
    assert rule.disruption == Disruption.DENY


def test_none_takes_the_transformations_away() -> None:
    assert updated("1", "t:none,t:urlDecode")[0].transformations == (Transformation.URL_DECODE,)
    assert updated("1", "t:none")[0].transformations == ()


def test_a_chain_stays_one_and_its_links_have_numbers() -> None:
    first, last = updated("2", "chain,pass,setvar:tx.d=1")[1:]
    assert (first.chained, last.chained, first.disruption) == (True, False, Disruption.NONE)
    first, last = updated("2:1", "setvar:tx.d=1")[1:]
    assert ([c.name for c in first.sets], [c.name for c in last.sets]) == ([], [(b"b",), (b"d",)])


def test_block_takes_the_default() -> None:
    default = 'SecDefaultAction "phase:2,log,deny,status:418"\n'
    rule = links(default + RULE.replace("deny,status:403", "pass") + 'SecRuleUpdateActionById 1 "block"')[0]
    assert (rule.disruption, rule.status) == (Disruption.DENY, 418)


def test_the_order_of_directives_does_not_matter_and_updates_add_up() -> None:
    text = 'SecRuleUpdateActionById 1 "pass"\n' + RULE + "SecRuleUpdateActionById 1 \"status:500,msg:'three'\"\n"
    (rule,) = links(text)
    assert (rule.disruption, rule.status, rule.message) == (Disruption.NONE, 500, (b"three",))


@pytest.mark.parametrize(("which", "actions", "code"), [("2:2", "pass", "S403"), ("1", "phase:1", "S503")])
def test_what_cannot_be_changed_is_refused(which: str, actions: str, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        updated(which, actions)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_rules_say_what_they_are() -> None:
    (rule,) = links(RULE.replace("setvar:tx.a=1", "setvar:'tx.why=%{rule.id} %{rule.msg}'"))
    assert rule.sets[0].value == (b"1 one",)
