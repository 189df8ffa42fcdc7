"""`ratelimitd bans`, `ban` and `unban`: who is banned, by the admin port of a running server."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimitd.commands.admin import Port, ask
from ratelimitd.commands.output import console, print_json, print_table, table
from ratelimitd.summary import plural


def run_list(port: Port, most: int, *, as_json: bool) -> int:
    found = ask(port, "GET", "/bans", [("n", str(most))])
    rows = found.get("bans", [])
    if as_json:
        print_json(found)
        return 0
    out = console()
    if not rows:
        out.print("nobody is banned")
        return 0
    shown = table("DOMAIN", "PENALTY", "KEY", "LEVEL", "UNTIL", right=["LEVEL"])
    for row in rows:
        shown.add_row(*(str(row[name]) for name in ("domain", "penalty", "key", "level", "until")))
    print_table(out, shown)
    out.print(f"{plural(len(rows), 'ban')}{', there may be more: --most' if len(rows) >= most else ''}", style="dim")
    return 0


def run_ban(port: Port, domain: str, penalty: str, key: Sequence[str], length: str, *, as_json: bool) -> int:
    found = ask(port, "POST", "/bans", [*_where(domain, penalty, key), ("for", length)])
    if as_json:
        print_json(found)
    else:
        console().print(f"banned {'|'.join(key)} by {penalty} for {length}", markup=False)
    return 0


def run_unban(port: Port, domain: str, penalty: str, key: Sequence[str], *, as_json: bool) -> int:
    """1 when nothing was known of the key."""
    found = ask(port, "DELETE", "/bans", _where(domain, penalty, key))
    lifted = bool(found.get("lifted"))
    if as_json:
        print_json(found)
    else:
        what = "lifted the ban of" if lifted else "nothing was known of"
        console().print(f"{what} {'|'.join(key)} by {penalty}", markup=False)
    return 0 if lifted else 1


def _where(domain: str, penalty: str, key: Sequence[str]) -> list[tuple[str, str]]:
    return [*([("domain", domain)] if domain else []), ("penalty", penalty), *(("key", part) for part in key)]
