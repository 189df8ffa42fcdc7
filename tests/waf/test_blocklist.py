"""@rbl: which name is asked for, what an answer means to rules, and that nobody waits for one."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ratelimitd._ext.waf.probe import Answers, Program

from ratelimitd.errors import PolicyError
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

LISTED = 127 << 24 | 2  # 127.0.0.2
RULE = 'SecRule ARGS:x "@rbl bl.example" "id:1,phase:1,pass,t:none,capture,setvar:tx.found=%{tx.0}"'
KEY = "SecHttpBlKey abcdefghijkl\n"
HONEYPOT = KEY + RULE.replace("bl.example", "dnsbl.httpbl.org")


class Host:
    def __init__(self, rules: str, answers: Answers | None = None) -> None:
        self.answers = answers or Answers()
        self.program = Program(compile_rules(parse(rules.encode())), answers=self.answers)

    def run(self, value: str, now_ms: int = 0, **request: Any) -> list[int]:
        asked = {"method": b"GET", "path": b"/?x=" + value.encode(), "source_address": b"192.0.2.1", **request}
        return [fired["rule"] for fired in self.program.run(asked, now_ms=now_ms)["fired"]]

    def names(self) -> list[bytes]:
        return [name for name, _ in self.answers.questions()]

    def found(self) -> bytes | None:
        text: bytes | None = self.program.store().get(b"tx.found")
        return text


NAMES = {
    "203.0.113.7": b"7.113.0.203.bl.example",
    "::ffff:203.0.113.7": b"7.113.0.203.bl.example",
    "2001:db8::1": b"1." + b"0." * 23 + b"8.b.d.0.1.0.0.2.bl.example",
    "Shop.Example.com": b"shop.example.com.bl.example",
    "shop.example.com.": b"shop.example.com.bl.example",
    "a" * 63 + ".b": b"a" * 63 + b".b.bl.example",
}


@pytest.mark.parametrize("value", NAMES)
def test_what_is_asked_for(value: str) -> None:
    host = Host(RULE)
    assert host.run(value) == []
    assert host.answers.questions() == [(NAMES[value], b"bl.example")]


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        ".a",
        "a..b",
        "a b",
        "a%00b",
        "a/b",
        "%c3%a4",
        "a" * 64,
        "b." + "a" * 64 + ".c",
        "a" * 254,
        "a." * 125,
        "x" * 5000,
    ],
)
def test_what_cannot_be_a_name_is_not_asked_for(value: str) -> None:
    host = Host(RULE)
    assert host.run(value) == []
    assert host.names() == []


def test_an_answer_holds_for_its_time() -> None:
    host = Host(RULE)
    name = NAMES["203.0.113.7"]
    assert host.run("203.0.113.7") == []
    host.answers.put(name, LISTED, for_ms=60_000)
    assert host.names() == [name]
    assert host.run("203.0.113.7", now_ms=59_999) == [1]
    assert host.found() == b"203.0.113.7"
    assert host.names() == []
    assert host.run("203.0.113.7", now_ms=60_000) == [1], "what was listed is so until the new answer is there"
    assert host.names() == [name]
    host.answers.put(name, 0, now_ms=60_010)
    assert host.run("203.0.113.7", now_ms=60_020) == []
    assert host.names() == []


def test_an_answer_that_is_long_over_does_not_count() -> None:
    host = Host(RULE)
    host.answers.put(NAMES["203.0.113.7"], LISTED, for_ms=60_000)
    assert host.run("203.0.113.7", now_ms=60_000 + 3_600_000) == []
    assert host.names() == [NAMES["203.0.113.7"]]


def test_a_question_is_left_once_until_it_is_given_up() -> None:
    host = Host(RULE)
    for _ in range(10):
        assert host.run("203.0.113.7") == []
    assert len(host.names()) == 1
    assert host.run("203.0.113.7", now_ms=14_999) == []
    assert host.names() == []
    host.run("203.0.113.7", now_ms=15_000)
    assert len(host.names()) == 1


def test_questions_are_bounded_and_the_rest_is_counted() -> None:
    host = Host(RULE)
    for number in range(5000):
        host.run(f"10.0.{number >> 8}.{number & 255}")
    stats = host.answers.stats()
    assert stats["asked"] == len(host.names()) <= 16 * 64
    assert stats["asked"] + stats["dropped"] == 5000
    host.run("10.0.19.135")
    assert len(host.names()) == 1, "what was dropped is asked when there is room"


def test_a_flood_of_new_names_keeps_those_who_are_listed() -> None:
    answers = Answers(1024)
    for number in range(64):
        answers.put(b"listed-%d" % number, LISTED)
    for number in range(100_000):
        answers.put(b"new-%d" % number, 0)
    kept = sum(answers.find(b"listed-%d" % number, look=True) == LISTED for number in range(64))
    assert kept == 64
    stats = answers.stats()
    assert stats["answers"] <= stats["max_answers"] == 1024
    assert stats["evicted"] >= 98_000


def test_a_dry_run_looks_and_asks_nobody() -> None:
    host = Host(RULE)
    assert host.run("203.0.113.7", dry_run=True) == []
    assert host.names() == []
    host.answers.put(NAMES["203.0.113.7"], LISTED)
    assert host.run("203.0.113.7", dry_run=True) == [1]


def test_without_answers_nobody_is_listed() -> None:
    program = Program(compile_rules(parse(RULE.encode())))
    assert program.run({"method": b"GET", "path": b"/?x=203.0.113.7"})["fired"] == []


def test_a_lookup_allocates_nothing() -> None:
    host = Host(RULE)
    host.answers.put(NAMES["203.0.113.7"], LISTED, for_ms=1 << 40)
    assert host.program.heap_growth({"method": b"GET", "path": b"/?x=203.0.113.7"}, 1000) == 0


def test_workers_share_answers() -> None:
    answers = Answers(1 << 16)
    hosts = [Host(RULE, answers) for _ in range(4)]

    def work(host: Host, at: int) -> None:
        for number in range(2000):
            host.run(f"10.{at}.{number >> 8}.{number & 255}")
            host.run("203.0.113.7")

    threads = [threading.Thread(target=work, args=pair) for pair in zip(hosts, range(4), strict=True)]
    for thread in threads:
        thread.start()
    names = [name for _ in range(100) for name in hosts[0].names()]
    for thread in threads:
        thread.join()
    names += hosts[0].names()
    assert names.count(NAMES["203.0.113.7"]) == 1
    assert len(names) == len(set(names)) == answers.stats()["asked"]


KINDS = {
    0: b"Search Engine",
    1: b"Suspicious IP",
    4: b"Comment spammer IP",
    7: b"Suspicious harvester comment spammer IP",
    8: b"",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_honeypots_answer_is_told(kind: int) -> None:
    host = Host(HONEYPOT)
    assert host.run("203.0.113.7") == []
    ((name, service),) = host.answers.questions()
    assert (name, service) == (b"abcdefghijkl.7.113.0.203.dnsbl.httpbl.org", b"dnsbl.httpbl.org")
    host.answers.put(name, 127 << 24 | 12 << 16 | 250 << 8 | kind)
    assert host.run("203.0.113.7") == [1]
    assert host.found() == (
        b"RBL lookup of 7.113.0.203.dnsbl.httpbl.org succeeded at TX:checkip. "
        b"%b: 12 days since last activity, threat score 250" % KINDS[kind]
    )


@pytest.mark.parametrize("value", ["2001:db8::1", "shop.example.com"])
def test_the_honeypot_knows_ipv4_alone(value: str) -> None:
    host = Host(HONEYPOT)
    assert host.run(value) == []
    assert host.names() == []


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (RULE.replace("bl.example", "dnsbl.httpbl.org"), "without a key"),
        (RULE.replace("bl.example", "%{request_headers.list}"), "a macro"),
        (RULE.replace("bl.example", "bl example"), "no name of a blocklist"),
        (RULE.replace("bl.example", "a..b"), "no name of a blocklist"),
        (RULE.replace("bl.example", "a." * 60 + "b"), "no name of a blocklist"),
        ("SecHttpBlKey a.b", "SecHttpBlKey with what is no key"),
    ],
)
def test_what_cannot_be_asked_is_refused(rules: str, said: str) -> None:
    with pytest.raises(PolicyError) as error:
        compile_rules(parse(rules.encode()))
    assert said in str(error.value)
    assert ":1:1" in str(error.value)


def test_the_core_rule_set_blocks_by_the_honeypot(debian: Path, tmp_path: Path) -> None:
    """The kinds that its setup names. Its own memory of whom it has asked does not hide an answer that comes late."""
    setup = (
        KEY + 'SecAction "id:900500,phase:1,nolog,pass,setvar:tx.block_spammer_ip=1,setvar:tx.block_search_ip=1"\n'
        'SecAction "id:900990,phase:1,nolog,pass,setvar:tx.crs_setup_version=334"\n'
    )
    names = (
        "REQUEST-901-INITIALIZATION.conf",
        "REQUEST-910-IP-REPUTATION.conf",
        "REQUEST-949-BLOCKING-EVALUATION.conf",
    )
    host = Host(setup + "\n".join((debian / name).read_text() for name in names))
    request = {"source_address": b"203.0.113.7", "headers": [("host", "shop.example.com")]}
    assert 949110 not in host.run("1", **request)
    (name,) = host.names()
    for kind, rule in ((4, 910160), (0, 910150)):
        host.answers.put(name, 127 << 24 | 1 << 16 | 50 << 8 | kind)
        fired = host.run("1", **request)
        assert rule in fired
        assert 949110 in fired
    host.answers.put(name, 127 << 24 | 1 << 16 | 50 << 8 | 2)
    assert 949110 not in host.run("1", **request), "harvesters are let in"


@pytest.fixture
def debian() -> Path:
    place = Path("/usr/share/modsecurity-crs/rules")
    if not place.is_dir():
        pytest.skip("needs Debian's modsecurity-crs")
    return place
