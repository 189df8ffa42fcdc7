"""A shop that can be injected, behind a real Envoy: sqlmap takes it over without the WAF, and finds nothing with it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ..databases import DATABASES
from ..waf.shared import crs_v4
from . import envoy_bootstrap, serving
from .conftest import listening

SQLMAP = shutil.which("sqlmap")
RULESETS = {"builtin": "builtin", "core": "{crs: %s}"}

pytestmark = pytest.mark.skipif(SQLMAP is None, reason="no sqlmap (Debian: sqlmap)")


class Shop(BaseHTTPRequestHandler):
    """GET /item?id=1: the number goes into the statement as it came, and the database's complaints to the client."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        number = parse_qs(urlsplit(self.path).query).get("id", ["1"])[0]
        with sqlite3.connect(":memory:") as shop:
            shop.executescript("CREATE TABLE item (id, name); INSERT INTO item VALUES (1, 'lamp'), (2, 'chair');")
            try:
                rows = shop.execute(f"SELECT name FROM item WHERE id = {number}").fetchall()
                status, text = 200, "".join(f"<li>{row[0]}</li>" for row in rows) or "nothing here"
            except sqlite3.Error as error:
                status, text = 500, f"SQLite error: {error}"
        body = f"<html><body>{text}</body></html>".encode()
        self.send_response(status)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def policy(mode: str, ruleset: str) -> str:
    return f"version: 1\ndomain: shop\nscan: {{mode: {mode}, rulesets: [{ruleset}]}}\n"


@pytest.fixture(scope="module")
def shop(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The shop's address, and the policy that guards it: the server reloads it when it changes."""
    directory = tmp_path_factory.mktemp("shop")
    file = directory / "shop.yaml"
    file.write_text(policy("off", "builtin"))
    kept = ("--cache-dir", str(DATABASES))
    with ExitStack() as stack:
        _, port = stack.enter_context(serving.ratelimitd(file, directory / "ratelimitd.log", *kept))
        bootstrap = envoy_bootstrap.guarded(ratelimitd=port, upstream=stack.enter_context(serving.upstream(Shop)))
        ports = stack.enter_context(listening(executable, bootstrap, directory))
        yield f"http://127.0.0.1:{ports['guarded']}", file


def sqlmap(url: str, directory: Path) -> str:
    """What it says of the parameter `id`. It passes for a browser: a scanner's name alone is reason to block."""
    assert SQLMAP is not None
    options = {
        "-u": f"{url}/item?id=1",
        "-p": "id",
        "--technique": "BEU",
        "--level": "2",
        "--risk": "2",
        "--threads": "4",
        "--timeout": "5",
        "--retries": "0",
        "--dbms": "sqlite",
        "--user-agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
        "--output-dir": str(directory),
    }
    command = [
        SQLMAP,
        "--batch",
        "--disable-coloring",
        "--flush-session",
        *(w for pair in options.items() for w in pair),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    return done.stdout


def found(said: str) -> bool:
    return re.search(r"parameter: id \(GET\)", said, re.IGNORECASE) is not None


def set_up(file: Path, url: str, mode: str, ruleset: str) -> None:
    """Changes the policy and waits until it holds."""
    file.write_text(policy(mode, ruleset))
    attack, wanted = f"{url}/item?id=1+UNION+SELECT+name+FROM+sqlite_master--+-", 403 if mode == "block" else 200
    serving.eventually(lambda: httpx.get(attack).status_code == wanted, f"{mode} with {ruleset}", 110)


def test_without_the_waf_it_is_taken_over(shop: tuple[str, Path], tmp_path: Path) -> None:
    """So the shop is one that can be injected, and sqlmap works here."""
    url, file = shop
    set_up(file, url, "off", "builtin")
    said = sqlmap(url, tmp_path)
    assert found(said), said[-3000:]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("ruleset", RULESETS)
def test_with_the_waf_nothing_is_found(shop: tuple[str, Path], tmp_path: Path, ruleset: str) -> None:
    url, file = shop
    words = RULESETS[ruleset]
    set_up(file, url, "block", words % crs_v4() if "%" in words else words)
    said = sqlmap(url, tmp_path)
    assert not found(said), said[-3000:]
    assert "all tested parameters do not appear to be injectable" in said, said[-3000:]
