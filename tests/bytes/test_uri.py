"""Request targets: the variables are libmodsecurity's."""

from __future__ import annotations

import random

import pytest

from ratelimitd._ext.bytes import probe

from .modsecurity import ModSecurity, single
from .mutation import mutate

VARIABLES = {
    "REQUEST_URI": "uri",
    "REQUEST_FILENAME": "filename",
    "PATH_INFO": "filename",
    "REQUEST_BASENAME": "basename",
    "QUERY_STRING": "query",
}
TARGETS = [
    b"/a/b%2fc%41.php?a=1&b=%zz#fr?x",
    b"http://user@host:8/p/q?x=/y",
    b"http%3a//h/p?z",
    b"/a%3fb\\c?d=%3f/%23",
    b":////x",
    b"*",
    b"",
]
TOKENS = [b"/", b"//", b"://", b"?", b"#", b"%", b"%2f", b"%3A", b"%5c", b"\\", b":", b"+", b"..", b"a"]


@pytest.fixture(scope="module")
def truth() -> ModSecurity:
    return ModSecurity(list(VARIABLES))


def compare(truth: ModSecurity, target: bytes) -> None:
    read = probe.uri_read(target)
    for variable, values in truth(target).items():
        assert read[VARIABLES[variable]] == single(values), (variable, target)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_read_as_modsecurity_reads_it(truth: ModSecurity, target: bytes) -> None:
    compare(truth, target)


def test_mutated_targets_are_read_as_modsecurity_reads_them(truth: ModSecurity) -> None:
    """No byte 0: libmodsecurity takes the target as a C string."""
    chance = random.Random(1)
    for _ in range(1500):
        compare(truth, mutate(chance, chance.choice(TARGETS), TOKENS, range(1, 256)))


def test_an_absolute_target_loses_its_origin_in_the_uri_only() -> None:
    assert probe.uri_read(b"http://h/a/b?c#d") == {
        "uri": b"/a/b?c",
        "filename": b"http://h/a/b",
        "basename": b"b",
        "query": b"c",
    }
