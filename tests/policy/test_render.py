"""Diagnostics for people and for programs."""

from __future__ import annotations

import json

import pytest

from ratelimitd.errors import Diagnostic, PolicyError, Position
from ratelimitd.policy import load_text
from ratelimitd.policy.render import as_data, render


def told(text: str) -> list[Diagnostic]:
    with pytest.raises(PolicyError) as caught:
        load_text(text, "shop.yaml")
    return caught.value.diagnostics


BAD = "version: 1\ndomain: shop\nlimits:\n  a: {key: client.ip, limit: 5, widnow: 1m}\n"


def test_a_diagnostic_shows_the_line_and_points_at_the_word() -> None:
    assert render(told(BAD)) == (
        "error[P203]: unknown key 'widnow'\n"
        "  --> shop.yaml:4:33\n"
        "   |\n"
        " 4 |   a: {key: client.ip, limit: 5, widnow: 1m}\n"
        "   |                                 ^^^^^^\n"
        "   = help: did you mean 'window'?\n"
        "\n"
        "1 error\n"
    )


def test_colour_only_when_asked() -> None:
    assert "\x1b[" not in render(told(BAD))
    assert "\x1b[1;31merror[P203]\x1b[0m" in render(told(BAD), colour=True)


def test_a_policy_cannot_move_the_cursor() -> None:
    diagnostic = Diagnostic(
        "P203", "unknown key '\x1b[2J'", Position("a\x1b.yaml", 1, 1), "\x07", excerpt="\x1b[2J: 1\u202e"
    )
    shown = render([diagnostic])
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_a_long_line_is_cut_around_the_place() -> None:
    text = f"version: 1\ndomain: shop\nclient: {{trusted_proxies: [{'10.0.0.0/8, ' * 60}nowhere]}}\n"
    (excerpt,) = [line for line in render(told(text)).splitlines() if line.startswith(" 3 |")]
    assert "nowhere" in excerpt
    assert len(excerpt) < 170


def test_data_for_programs_is_json() -> None:
    (data,) = json.loads(json.dumps(as_data(told(BAD))))
    assert data == {
        "code": "P203",
        "severity": "error",
        "message": "unknown key 'widnow'",
        "hint": "did you mean 'window'?",
        "file": "shop.yaml",
        "line": 4,
        "column": 33,
        "excerpt": "  a: {key: client.ip, limit: 5, widnow: 1m}",
    }


def test_nothing_to_tell() -> None:
    assert render([]) == ""


def test_warnings_are_counted_apart() -> None:
    text = BAD + "  b: {limit: 1, window: 1m}\n"
    assert render(told(text)).endswith("\n1 error, 1 warning\n")
    text = "version: 1\ndomain: d\nlimits:\n  b: {limit: 1, window: 1m}\n  c: {key: path.x, limit: 1, window: 1m}\n"
    assert render(told(text)).endswith("\n1 error, 1 warning\n")
