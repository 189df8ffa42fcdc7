"""Arguments and cookies: names and values are libmodsecurity's."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.bytes import probe

from .modsecurity import ModSecurity, single
from .mutation import mutate

FORM = [(b"Content-Type", b"application/x-www-form-urlencoded")]
FORMS = [b"a=1&b=x+y%20z&&c&=d&a=2&e=f=g&%41=%zz%4", b"&", b"a", b"=&=", b""]
FORM_TOKENS = [b"&", b"=", b"+", b"%", b"%00", b"%2", b"%26", b"%u0041", b";", b"a"]
COOKIES = [b"a=1; b = 2 ;;c; =x; d==e ;\tf=\xff; A=3 ", b" ", b'a="x;y"; $Version=1', b";"]
COOKIE_TOKENS = [b";", b"; ", b"=", b" ", b"\t", b"\x0b", b"\r\n", b"a", b'"', b","]


@pytest.fixture(scope="module")
def forms() -> ModSecurity:
    return ModSecurity(["ARGS_POST", "ARGS_NAMES", "URLENCODED_ERROR"])


@pytest.fixture(scope="module")
def cookies() -> ModSecurity:
    return ModSecurity(["REQUEST_COOKIES", "REQUEST_COOKIES_NAMES"])


def compare_form(truth: ModSecurity, body: bytes) -> None:
    pairs, invalid = probe.pairs(body)
    found = truth(headers=FORM, body=body)
    assert sorted(pairs) == sorted(found["ARGS_POST"]), body
    assert sorted(name for name, _ in pairs) == sorted(value for _, value in found["ARGS_NAMES"]), body
    assert invalid == (single(found["URLENCODED_ERROR"]) == b"1"), body


def compare_cookies(truth: ModSecurity, header: bytes) -> None:
    pairs = probe.pairs_cookies(header)
    found = truth(headers=[(b"Cookie", header)])
    assert sorted(pairs) == sorted(found["REQUEST_COOKIES"]), header
    assert sorted(name for name, _ in pairs) == sorted(value for _, value in found["REQUEST_COOKIES_NAMES"]), header


@pytest.mark.parametrize("body", FORMS)
def test_a_form_is_read_as_modsecurity_reads_it(forms: ModSecurity, body: bytes) -> None:
    compare_form(forms, body)


def test_mutated_forms_are_read_as_modsecurity_reads_them(forms: ModSecurity) -> None:
    chance = random.Random(2)
    for _ in range(2000):
        compare_form(forms, mutate(chance, chance.choice(FORMS), FORM_TOKENS))


def test_a_query_string_is_read_like_a_form() -> None:
    truth = ModSecurity(["ARGS_GET"])
    chance = random.Random(3)
    for _ in range(500):
        query = mutate(chance, FORMS[0], FORM_TOKENS, range(1, 256)).replace(b"#", b"")
        assert sorted(probe.pairs(query)[0]) == sorted(truth(b"/?" + query)["ARGS_GET"]), query


def test_arguments_come_in_their_order() -> None:
    assert probe.pairs(b"b=1&a=%32&&b") == ([(b"b", b"1"), (b"a", b"2"), (b"", b""), (b"b", b"")], False)


def test_the_separator_can_be_another() -> None:
    assert probe.pairs(b"a=1;b=2&c", b";") == ([(b"a", b"1"), (b"b", b"2&c")], False)


@pytest.mark.parametrize("header", COOKIES)
def test_cookies_are_read_as_modsecurity_reads_them(cookies: ModSecurity, header: bytes) -> None:
    compare_cookies(cookies, header)


def test_mutated_cookies_are_read_as_modsecurity_reads_them(cookies: ModSecurity) -> None:
    chance = random.Random(4)
    for _ in range(2000):
        compare_cookies(cookies, mutate(chance, chance.choice(COOKIES), COOKIE_TOKENS))
