"""What rules keep between requests: initcol and its kin, over time, over workers, within bounds."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from ratelimitd._ext.waf.probe import Program, Records

from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

from ..databases import compiling
from .engines import configuration

START = 1_700_000_000_000  # ms
DEBIAN = Path("/usr/share/modsecurity-crs/rules")
SETUP = Path("/etc/modsecurity/crs/crs-setup.conf")


class Host:
    """One program over a clock. `records` of another host are shared, as by workers and across reloads."""

    def __init__(self, rules: str, records: Records | None = None, domain: bytes = b"shop") -> None:
        self.records = records or Records()
        self.program = Program(compile_rules(parse(rules.encode())), records=self.records, domain=domain)
        self.now_ms = START

    def __call__(self, client: str = "192.0.2.1", at: float | None = None, **request: Any) -> list[int]:
        """The rules that fired. `at`: seconds since the start."""
        if at is not None:
            self.now_ms = START + int(at * 1000)
        return [fired["rule"] for fired in self.run(client, **request)["fired"]]

    def run(self, client: str = "192.0.2.1", **request: Any) -> dict[str, Any]:
        asked = {"method": b"GET", "path": b"/", "source_address": client.encode(), **request}
        result: dict[str, Any] = self.program.run(asked, now_ms=self.now_ms)
        return result

    def value(self, name: bytes) -> bytes | None:
        """Of a variable after the last request; rules must name it."""
        found: bytes | None = self.program.store().get(name)
        return found


COUNT = """
SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
SecAction "id:2,phase:1,nolog,pass,setvar:ip.seen=+1"
SecRule IP:seen "@gt 3" "id:3,phase:1,deny,status:429"
"""


def test_counts_by_key() -> None:
    host = Host(COUNT)
    assert [host() for _ in range(5)] == [[], [], [], [3], [3]]
    assert host("192.0.2.2") == []
    assert host.value(b"ip.seen") == b"1"
    assert host.records.stats()["records"] == 2


def test_without_a_key_it_ends_with_the_request() -> None:
    host = Host(COUNT.replace(",initcol:ip=%{REMOTE_ADDR}", ""))
    assert [host() for _ in range(5)] == [[]] * 5
    assert host.records.stats()["records"] == 0


def test_a_reload_and_another_worker_go_on_counting_and_another_domain_does_not() -> None:
    records = Records()
    first, second = Host(COUNT, records), Host(COUNT + 'SecAction "id:9,phase:1,nolog,pass"', records)
    other = Host(COUNT, records, domain=b"blog")
    assert [first(), second(), first(), second()] == [[], [], [], [3]]
    assert other() == []


def test_a_look_makes_no_record() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecRule IP:blocked "@eq 1" "id:2,phase:1,deny"
        SecRule ARGS:block "@eq 1" "id:3,phase:1,nolog,pass,setvar:ip.blocked=1"
    """)
    for i in range(100):
        assert host(f"192.0.2.{i}") == []
    assert host.records.stats()["records"] == 0
    host("192.0.2.1", path=b"/?block=1")
    assert (host("192.0.2.1"), host("192.0.2.2")) == ([2], [])


def test_expirevar() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecRule IP:blocked "@eq 1" "id:2,phase:1,pass"
        SecRule ARGS:block "@rx ." "id:3,phase:1,nolog,pass,setvar:ip.blocked=1,expirevar:ip.blocked=%{ARGS.block}"
    """)
    host(at=0, path=b"/?block=10")
    assert host(at=9.9) == [2]
    assert host(at=10) == []
    host(at=20, path=b"/?block=10")
    host(at=25, path=b"/?block=10")
    assert host(at=34.9) == [2], "set again, it lives longer"
    assert host(at=35) == []
    host(at=40, path=b"/?block=nonsense")
    assert host(at=40) == []


def test_setvar_keeps_the_expiry_and_unset_ends_it() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecRule &IP:n "@eq 1" "id:2,phase:1,pass"
        SecRule ARGS:do "@streq start" "id:3,phase:1,nolog,pass,setvar:ip.n=1,expirevar:ip.n=10"
        SecRule ARGS:do "@streq add" "id:4,phase:1,nolog,pass,setvar:ip.n=+1"
        SecRule ARGS:do "@streq drop" "id:5,phase:1,nolog,pass,setvar:!ip.n"
    """)
    host(at=0, path=b"/?do=start")
    host(at=5, path=b"/?do=add")
    assert host(at=9) == [2]
    assert host(at=10) == []
    host(at=20, path=b"/?do=start")
    host(at=21, path=b"/?do=drop")
    assert host(at=21) == []
    host(at=22, path=b"/?do=add")
    assert host(at=40) == [2]
    assert host.value(b"ip.n") == b"1"


def test_deprecatevar() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecAction "id:2,phase:1,nolog,pass,deprecatevar:ip.score=60/300"
        SecRule ARGS:add "@rx ." "id:3,phase:1,nolog,pass,setvar:ip.score=+%{ARGS.add}"
        SecRule IP:score "@ge 0" "id:4,phase:1,nolog,pass"
    """)
    wanted = [(0, 100, 100), (299, 0, 100), (300, 0, 40), (500, 50, 90), (600, 0, 30), (899, 0, 30), (900, 0, 0)]
    for at, add, score in wanted:
        host(at=at, path=b"/?add=%d" % add if add else b"/")
        assert host.value(b"ip.score") == b"%d" % score, at


def test_a_collection_dies_its_timeout_after_the_last_change() -> None:
    host = Host("SecCollectionTimeout 60\n" + COUNT)
    host(at=0)
    host(at=59)
    host(at=118)
    assert host.value(b"ip.seen") == b"3"
    host(at=178)
    assert host.value(b"ip.seen") == b"1"
    longer = Host("SecCollectionTimeout 60\n" + COUNT + 'SecAction "id:4,phase:1,nolog,pass,setvar:ip.timeout=600"')
    longer(at=0)
    longer(at=599)
    assert longer.value(b"ip.seen") == b"2"


def test_the_facts_of_a_collection() -> None:
    names = ("KEY", "IS_NEW", "CREATE_TIME", "LAST_UPDATE_TIME", "TIMEOUT", "UPDATE_COUNTER", "UPDATE_RATE")
    looks = "\n".join(
        f'SecRule IP:{name} "@unconditionalMatch" "id:{10 + i},phase:1,nolog,pass,setvar:tx.{name}=%{{MATCHED_VAR}}"'
        for i, name in enumerate(names)
    )
    change = 'SecAction "id:2,phase:2,nolog,pass,setvar:ip.a=+1,setvar:ip.b=1"'
    bind = 'SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"\n'
    host = Host(bind + looks + "\n" + change)
    seconds = START // 1000

    def facts() -> list[bytes | None]:
        return [host.value(b"tx." + name.lower().encode()) for name in names]

    host(at=0)
    assert facts() == [b"192.0.2.1", b"1", b"%d" % seconds, b"%d" % seconds, b"3600", b"0", b"0"]
    host(at=60)
    host(at=120)
    assert facts() == [b"192.0.2.1", b"0", b"%d" % seconds, b"%d" % (seconds + 60), b"3600", b"2", b"1"]
    assert host(at=120) == []


def test_whole_collections_hold_what_rules_have_set() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecRule ARGS "@rx ." "id:2,phase:1,nolog,pass,setvar:'ip.seen_%{MATCHED_VAR}=+1'"
        SecRule &IP "@ge 3" "id:3,phase:1,pass"
        SecRule IP:/^seen_b/ "@ge 2" "id:4,phase:1,pass"
        SecRule IP "@ge 4" "id:5,phase:1,pass"
    """)
    assert host(path=b"/?x=a&y=b") == []
    assert host(path=b"/?x=c") == [3]
    assert host(path=b"/?x=bb") == [3]
    assert host(path=b"/?x=b") == [3, 4]


def test_sessions_users_and_resources() -> None:
    rules = """
        SecWebAppId %s
        SecRule REQUEST_COOKIES:sid "@rx ^(.+)$" "id:1,phase:1,nolog,pass,capture,setsid:%%{TX.1}"
        SecRule ARGS:user "@rx ." "id:2,phase:1,nolog,pass,setuid:%%{MATCHED_VAR}"
        SecAction "id:3,phase:1,nolog,pass,setrsc:%%{REQUEST_FILENAME},initcol:global=all"
        SecAction "id:4,phase:1,nolog,pass,setvar:session.n=+1,setvar:user.n=+1,setvar:resource.n=+1,setvar:global.n=+1"
        SecAction "id:5,phase:1,nolog,pass,setvar:'tx.all=%%{session.n} %%{user.n} %%{resource.n} %%{global.n}'"
        SecAction "id:6,phase:1,nolog,pass,setvar:'tx.who=%%{SESSIONID} %%{USERID} %%{WEBAPPID} %%{session.key}'"
        SecRule TX:all|TX:who "@rx ^$" "id:7,phase:1,nolog,pass"
    """
    records = Records()
    shop, blog = Host(rules % "shop", records), Host(rules % "blog", records)

    def seen(host: Host, path: bytes, sid: bytes) -> bytes | None:
        host(path=path, headers=[(b"cookie", b"sid=" + sid)])
        return host.value(b"tx.all")

    assert seen(shop, b"/a?user=ann", b"s1") == b"1 1 1 1"
    assert shop.value(b"tx.who") == b"s1 ann shop s1"
    assert seen(shop, b"/a?user=bob", b"s1") == b"2 1 2 2"
    assert seen(shop, b"/b?user=ann", b"s2") == b"1 2 1 3"
    assert seen(blog, b"/a?user=ann", b"s1") == b"1 1 3 4", "sessions and users are the application's own"


def test_a_second_key_takes_the_place_of_the_first() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=a,setvar:ip.n=+1,initcol:ip=b"
        SecRule &IP:n "@gt 0" "id:2,phase:1,pass"
        SecRule ARGS "@rx ." "id:3,phase:1,nolog,pass,setvar:ip.n=+1"
    """)
    assert [host(), host()] == [[], []]
    host(path=b"/?x=1")
    assert host() == [2]
    assert host.value(b"ip.n") == b"1"


def test_a_dry_run_looks_and_changes_nothing() -> None:
    host = Host(COUNT)
    for _ in range(3):
        host()
    for _ in range(3):
        assert host(dry_run=True) == [3], "this would be the fourth"
    assert host() == [3]
    assert host.value(b"ip.seen") == b"4"


def test_a_response_counts_only_what_its_rules_see() -> None:
    """The rules of the request run again with the response; what they count has been counted."""
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.requests=+1"
        SecRule RESPONSE_STATUS "@streq 401" "id:2,phase:3,nolog,pass,setvar:ip.failed=+1"
        SecRule RESPONSE_STATUS "@streq 401" "id:3,phase:5,nolog,pass,setvar:ip.logged=+1"
        SecAction "id:4,phase:5,nolog,pass,setvar:ip.ends=+1"
        SecRule IP:requests|IP:failed|IP:logged|IP:ends "@eq 0" "id:5,phase:1,nolog,pass"
    """)
    request = {"method": b"GET", "path": b"/", "source_address": b"192.0.2.1"}
    for _ in range(3):
        host.program.run(request, now_ms=START)
        host.program.run_response(request, {"status": 401}, now_ms=START)
    host.program.run(request, now_ms=START)
    names = (b"ip.requests", b"ip.failed", b"ip.logged", b"ip.ends")
    assert [host.value(name) for name in names] == [b"4", b"3", b"3", b"4"]


def test_detection_counts_as_blocking_does() -> None:
    host = Host(COUNT)
    for _ in range(4):
        host.program.run({"method": b"GET", "path": b"/", "source_address": b"192.0.2.1"}, detect=True, now_ms=START)
    assert host() == [3]


# ---- bounds


def test_no_count_is_lost_between_workers() -> None:
    records, rounds = Records(), 20_000
    adds = [threading.Thread(target=records.add, args=(1, 2, b"n", rounds, START)) for _ in range(4)]
    for thread in adds:
        thread.start()
    for thread in adds:
        thread.join()
    assert records.add(1, 2, b"n", 1, START) == 4 * rounds + 1


def test_a_table_that_is_full_keeps_its_size_and_those_who_wait() -> None:
    """A flood of new clients pushes out clients, not the ones that are blocked."""
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR},setvar:ip.seen=+1"
        SecRule IP:blocked "@eq 1" "id:2,phase:1,pass"
        SecRule ARGS:block "@eq 1" "id:3,phase:1,nolog,pass,setvar:ip.blocked=1,expirevar:ip.blocked=60"
    """)
    host("blocked", at=0, path=b"/?block=1")
    for i in range(20_000):
        host(f"client-{i}", at=1 + i / 1000)
    stats = host.records.stats()
    assert stats["records"] <= stats["max_records"] == 1024
    assert stats["evicted"] >= 20_000 - 1024
    assert host("blocked", at=30) == [2]
    assert host("blocked", at=60) == []


def test_dead_records_make_room_first() -> None:
    host = Host("SecCollectionTimeout 10\n" + COUNT)
    for i in range(5_000):
        host(f"client-{i}", at=i / 10)
    assert host.records.stats()["evicted"] == 0


def test_what_is_too_long_or_too_many_is_said_and_not_kept() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecRule ARGS "@rx ." "id:2,phase:1,nolog,pass,setvar:'ip.v_%{MATCHED_VAR}=1'"
        SecRule REQUEST_HEADERS:X-Value "@rx ." "id:3,phase:1,nolog,pass,setvar:'ip.value=%{MATCHED_VAR}'"
        SecRule &IP "@gt 1000" "id:4,phase:1,pass"
        SecRule IP:value "@streq never" "id:5,phase:1,pass"
    """)

    def kept(request: dict[str, Any]) -> tuple[bool, int]:
        error = bool(host.run(**request)["error"])
        host.run()
        return error, sum(name.startswith(b"ip.") for name in host.program.store())

    long = [(b"x-value", b"v" * 1025)]
    assert kept({"headers": [(b"x-value", b"v" * 1024)]}) == (False, 1)
    assert host.value(b"ip.value") == b"v" * 1024
    assert kept({"headers": long}) == (True, 1)
    assert host.value(b"ip.value") == b"v" * 1024
    many = b"/?" + b"&".join(b"a%d=%d" % (i, i) for i in range(100))
    assert kept({"path": many}) == (True, 64)
    assert kept({"path": b"/?a=" + b"n" * 100}) == (True, 64)


def test_numbers_are_saturated() -> None:
    host = Host("""
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecAction "id:2,phase:1,nolog,pass,setvar:ip.n=+9000000000000000000"
        SecRule IP:n "@gt 0" "id:3,phase:1,pass"
    """)
    assert [host() for _ in range(3)] == [[3]] * 3
    assert host.value(b"ip.n") == b"9223372036854775807"


def test_steady_state_allocates_nothing() -> None:
    host = Host(COUNT + "SecAction \"id:7,phase:1,nolog,pass,setvar:'ip.path=%{REQUEST_URI}',expirevar:ip.path=9\"")
    request = {"method": b"GET", "path": b"/" + b"a" * 500, "source_address": b"192.0.2.1"}
    assert host.program.heap_growth(request, 200) == 0


# ---- a model


class Model:
    """What IP should hold, in plain Python: key -> name -> [text, expiry, since]."""

    def __init__(self) -> None:
        self.records: dict[str, dict[bytes, list[Any]]] = {}

    def live(self, key: str, now: int) -> dict[bytes, list[Any]]:
        record = self.records.setdefault(key, {})
        for name in [name for name, (_, expiry, _) in record.items() if expiry is not None and expiry <= now]:
            del record[name]
        return record


def test_a_model_agrees_on_random_changes() -> None:
    """Texts of every length around the cells' sizes, numbers, expiries, over a clock that moves on."""
    rng = random.Random(11)
    host = Host("""
        SecCollectionTimeout 100000
        SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{REMOTE_ADDR}"
        SecRule REQUEST_HEADERS:X-Set "@rx ." \
            "id:2,phase:1,nolog,pass,setvar:'ip.%{REQUEST_HEADERS.X-Name}=%{MATCHED_VAR}'"
        SecRule REQUEST_HEADERS:X-Add "@rx ." \
            "id:3,phase:1,nolog,pass,setvar:'ip.%{REQUEST_HEADERS.X-Name}=+%{MATCHED_VAR}'"
        SecRule REQUEST_HEADERS:X-Unset "@rx ." "id:4,phase:1,nolog,pass,setvar:'!ip.%{REQUEST_HEADERS.X-Name}'"
        SecRule REQUEST_HEADERS:X-Expire "@rx ." \
            "id:5,phase:1,nolog,pass,expirevar:'ip.%{REQUEST_HEADERS.X-Name}=%{MATCHED_VAR}'"
        SecRule &IP "@gt 1000" "id:6,phase:1,pass"
    """)
    names = [b"n", b"a" * 31, b"b" * 32, b"c" * 33, b"d" * 64, b"e", b"f" * 50]
    sizes = [1, 2, 30, 31, 32, 33, 59, 60, 61, 92, 93, 150, 1000, 1024]
    model = Model()
    for step in range(4000):
        key, name = rng.choice(["k1", "k2", "k3"]), rng.choice(names)
        now = START + step * 500
        host.now_ms = now
        record = model.live(key, now)
        kind = rng.choice(("set", "set", "add", "add", "unset", "expire"))
        value = b"1"
        if kind == "set":
            value = (
                bytes(rng.choices(b"abcxyz", k=rng.choice(sizes))) if rng.random() < 0.7 else b"%d" % rng.randrange(99)
            )
            record[name] = [value, record.get(name, (None, None))[1], now]
        elif kind == "add":
            value = b"%d" % rng.randrange(1, 1000)
            before, expiry = record.get(name, (b"", None))[:2]
            number = int(before) if before and before.isdigit() else 0
            record[name] = [b"%d" % (number + int(value)), expiry, now]
        elif kind == "unset":
            record.pop(name, None)
        else:
            value = b"%d" % rng.randrange(1, 60)
            record[name] = [record.get(name, (None,))[0], now + 1000 * int(value), now]
        head = [(b"x-name", name), (b"x-" + kind.encode(), value)]
        assert not host.run(key, headers=head)["error"]
        host.run(key)
        found = {k[3:]: v for k, v in host.program.store().items() if k.startswith(b"ip.")}
        assert found == {k: v[0] for k, v in record.items() if v[0] is not None}, step


# ---- the Core Rule Set


DOS = """
SecAction "id:900700,phase:1,nolog,pass,t:none,setvar:'tx.dos_burst_time_slice=60',\\
setvar:'tx.dos_counter_threshold=20',setvar:'tx.dos_block_timeout=600'"
"""
REPUTATION = """
SecAction "id:900500,phase:1,nolog,pass,t:none,setvar:tx.do_reput_block=1,setvar:tx.reput_block_duration=300"
"""
needs_debian = pytest.mark.skipif(not DEBIAN.is_dir() or not SETUP.is_file(), reason="needs Debian's modsecurity-crs")


@pytest.fixture(scope="module")
def debian() -> Any:
    """The 3.3 rules with anti-automation and reputation on."""
    sources = ["SecRuleEngine On\nSecRequestBodyAccess On", SETUP, DOS + REPUTATION, *sorted(DEBIAN.glob("*.conf"))]
    return compile_rules(configuration(sources))


class Guarded:
    def __init__(self, program: Any) -> None:
        with compiling() as databases:
            self.program = Program(program, databases, records=Records(), domain=b"shop")

    def __call__(self, client: bytes, at: float, path: bytes = b"/", more: tuple[bytes, bytes] = (b"a", b"b")) -> bool:
        """Was it denied?"""
        head = [(b"host", b"shop.example"), (b"user-agent", b"Mozilla/5.0"), (b"accept", b"*/*"), more]
        request = {"method": b"GET", "path": path, "source_address": client, "headers": head, "protocol": b"HTTP/1.1"}
        result = self.program.run(request, now_ms=START + int(at * 1000))
        return bool(result["denied"])


@needs_debian
def test_crs_blocks_a_flood_until_it_is_over(debian: Any) -> None:
    """Two bursts of 20 requests within 60 s: blocked for 600 s. Static files do not count; another client is served."""
    guard = Guarded(debian)
    denied = [guard(b"198.51.100.7", i * 0.5) for i in range(60)]
    assert denied == [False] * 40 + [True] * 20
    assert not guard(b"198.51.100.8", 31)
    assert guard(b"198.51.100.7", 300)
    assert not guard(b"198.51.100.7", 20 + 600)
    assert not any(guard(b"198.51.100.9", i * 0.5, b"/logo.png") for i in range(100))


@needs_debian
def test_crs_lets_slow_clients_pass(debian: Any) -> None:
    """Bursts further apart than a slice are none."""
    guard = Guarded(debian)
    assert not any(guard(b"198.51.100.7", i * 5) for i in range(200))


@needs_debian
def test_crs_remembers_a_scanner(debian: Any) -> None:
    """What a client sends after a scan is denied, too, for as long as the setup says."""
    guard = Guarded(debian)
    assert guard(b"198.51.100.7", 0, more=(b"acunetix-product", b"WVS"))
    assert guard(b"198.51.100.7", 299)
    assert not guard(b"198.51.100.8", 299)
    assert not guard(b"198.51.100.7", 300)
