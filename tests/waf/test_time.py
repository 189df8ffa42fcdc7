"""TIME and its kin: the clock on the wall, in the zone of the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from ratelimitd._ext.waf.probe import Program

from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import parse

from .message import Request

NAMES = ("TIME", "TIME_DAY", "TIME_HOUR", "TIME_MIN", "TIME_MON", "TIME_SEC", "TIME_WDAY", "TIME_YEAR")
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati")
RULES = "\n".join(
    f'SecAction "id:{number},phase:1,nolog,pass,setvar:tx.{name.lower()}=%{{{name}}}"'
    for number, name in enumerate(NAMES, 1)
)
Zone = Callable[[str], None]


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    def put(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield put
    monkeypatch.undo()
    time.tzset()


def said(program: Program, seconds: int) -> dict[str, str]:
    program.run({"method": b"GET", "path": b"/"}, now_ms=seconds * 1000)
    store = program.store()
    return {name: store[b"tx." + name.lower().encode()].decode() for name in NAMES}


def expected(seconds: int, zone: str) -> dict[str, str]:
    now = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    return dict(zip(NAMES, now.strftime("%H:%M:%S %d %H %M %m %S %u %Y").split(), strict=True))


@pytest.mark.parametrize("name", ZONES)
def test_any_second(zone: Zone, name: str) -> None:
    """Over daylight saving's edges, leap days and years' ends, forwards and backwards."""
    zone(name)
    program = Program(compile_rules(parse(RULES.encode())))
    moments = [
        0, 951_782_399, 951_782_400, 1_709_164_800, 1_735_689_599, 1_735_689_600, 1_741_501_799, 1_741_501_800,
        1_762_061_399, 1_762_061_400, 1_762_065_000, 4_102_444_800,
    ]  # fmt: skip
    for moment in [*moments, *reversed(moments)]:
        assert said(program, moment) == expected(moment, name), moment


@pytest.mark.parametrize("name", ZONES)
def test_as_libmodsecurity_writes_it(zone: Zone, name: str) -> None:
    pytest.importorskip("libmodsecurity")
    from .oracle import Variables

    zone(name)
    program = Program(compile_rules(parse(RULES.encode())))
    read = Variables("SecRuleEngine On", "|".join(NAMES))
    for _ in range(5):
        before = int(time.time())
        theirs = {key.decode(): value.decode() for key, value in read(Request("GET", b"/", ()))}
        if int(time.time()) == before:
            break
    assert said(program, before) == theirs
