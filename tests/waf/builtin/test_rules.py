"""Each built-in rule finds what it must and leaves alone what it must."""

from __future__ import annotations

import re

import pytest

from ratelimitd.waf.program import Operator

from .cases import cases, request_of
from .engine import DECISION, RULES, engine, judge, program

SETUP = range(1000000, 1001000)
FAMILIES = {rule // 1000 for rule in range(1001000, 1010000, 1000)}
# Of the words that the Core Rule Set uses, and that people therefore filter by; nosqli, ssti and xxe are more precise.
TAGS = re.compile(
    rb"attack-(?:sqli|xss|rce|lfi|rfi|ssrf|protocol|disclosure|fixation|multipart-header|deserialization|generic|ldap"
    rb"|injection-(?:php|java)|reputation-scanner|nosqli|ssti|xxe)"
)


def detections() -> list:
    """The first link of each rule that adds to the score."""
    links, first = [], True
    for link in program().links:
        if first and link.rule not in SETUP and link.rule != DECISION:
            links.append(link)
        first = not link.chained
    return links


def test_every_rule_has_a_hit_and_a_miss() -> None:
    assert sorted(link.rule for link in detections()) == sorted(cases())
    assert all(case["hits"] and case["misses"] for case in cases().values())
    assert 40 <= len(cases()) <= 70


@pytest.mark.parametrize("rule", sorted(cases()))
def test_a_rule_finds_and_leaves_alone(rule: int) -> None:
    """A hit fires the rule; a miss fires no rule at all."""
    assert [case for case in cases()[rule]["hits"] if rule not in judge(request_of(case)).rules] == []
    missed = [(case, judge(request_of(case)).rules) for case in cases()[rule]["misses"]]
    assert [(case, fired) for case, fired in missed if fired] == []


def test_rules_say_what_they_are() -> None:
    for link in detections():
        assert link.rule // 1000 in FAMILIES, link.rule
        assert link.message, link.rule
        assert link.severity in (2, 4), link.rule
        assert link.tags, link.rule
        assert all(TAGS.fullmatch(tag) for tag in link.tags), (link.rule, link.tags)


def test_a_critical_rule_denies_alone_and_a_warning_does_not() -> None:
    severity = {link.rule: link.severity for link in detections()}
    for rule, case in cases().items():
        verdict = judge(request_of(case["hits"][0]))
        assert verdict.denied or verdict.rules != {rule} or severity[rule] == 4, rule
        assert not verdict.denied or verdict.score >= 5, rule


def test_values_are_scanned_in_batches() -> None:
    """Every pattern compiles as it is: only negated ones, and those behind another, are left to PCRE2 in their turn."""
    direct = set(engine().direct())
    firsts = {link.rule for link in detections() if link.operator == Operator.RX and not link.negated}
    alone = {program().links[index].rule for index in direct}
    assert not firsts & alone


def test_the_files_are_small_enough_to_review() -> None:
    """The set stays a page of rules, not a second Core Rule Set."""
    assert RULES.stat().st_size < 64 * 1024
