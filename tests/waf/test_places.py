"""@geoLookup: what it fills in of GEO, whatever the database holds, and what is wrong with a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ratelimitd._ext.waf.probe import Program

from ratelimitd.errors import EngineError, PolicyError
from ratelimitd.waf.compile import compile_rules
from ratelimitd.waf.seclang import load

from .mmdb import CITIES, COUNTRIES, write_places

LOOKUP = 'SecRule REMOTE_ADDR "@geoLookup" "id:1,phase:1,pass,t:none"\n'


def program(folder: Path, rules: str) -> Program:
    path = folder / "rules.conf"
    path.write_text("SecGeoLookupDb places.mmdb\n" + rules, encoding="utf-8")
    return Program(compile_rules(load([path])))


def run(made: Program, client: str, **request: Any) -> list[int]:
    asked = {"method": b"GET", "path": b"/", "source_address": client.encode(), **request}
    return [fired["rule"] for fired in made.run(asked)["fired"]]


def known(made: Program) -> dict[str, str]:
    store: dict[bytes, bytes] = made.store()
    return {name.decode(): value.decode() for name, value in store.items() if name.startswith(b"geo.")}


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    write_places(tmp_path / "places.mmdb", CITIES)
    return tmp_path


LINKOPING = {
    "geo.country_code": "SE",
    "geo.country_name": "Sweden",
    "geo.country_continent": "Europe",
    "geo.region": "Östergötland County",
    "geo.city": "Linköping",
    "geo.postal_code": "582 24",
    "geo.latitude": "58.416700",
    "geo.longitude": "15.616700",
    "geo.dma_code": "505",
}
QUITO = {
    "geo.country_code": "EC",
    "geo.country_name": "Ecuador",
    "geo.country_continent": "South America",
    "geo.latitude": "-0.214300",
    "geo.longitude": "-78.501700",
}


@pytest.mark.parametrize("client", ["89.160.20.112", "::ffff:89.160.20.1", "2001:db8:20::1"])
def test_a_database_of_cities(cities: Path, client: str) -> None:
    made = program(cities, LOOKUP)
    assert run(made, client) == [1]
    assert known(made) == LINKOPING


def test_a_database_of_countries(tmp_path: Path) -> None:
    write_places(tmp_path / "places.mmdb", COUNTRIES, "GeoLite2-Country")
    made = program(tmp_path, LOOKUP)
    assert run(made, "89.160.20.112") == [1]
    assert known(made) == {name: LINKOPING[name] for name in [*LINKOPING][:3]}
    assert run(made, "203.0.113.7") == []
    assert known(made) == {}


@pytest.mark.parametrize("client", ["192.0.2.1", "2001:db8:21::1"])
def test_an_address_that_is_nowhere(cities: Path, client: str) -> None:
    made = program(cities, LOOKUP)
    assert run(made, client) == []
    assert known(made) == {}


@pytest.mark.parametrize("value", ["", "localhost", "1.2.3", "89.160.20", "89.160.20.112x", "%00", "x" * 5000])
def test_what_is_no_address_is_nowhere(cities: Path, value: str) -> None:
    made = program(cities, 'SecRule ARGS:ip "@geoLookup" "id:1,phase:1,pass,t:none"')
    assert run(made, "127.0.0.1", path=b"/?ip=" + value.encode()) == []


def test_the_last_lookup_counts(cities: Path) -> None:
    rules = LOOKUP + (
        'SecRule ARGS:ip "@geoLookup" "id:2,phase:2,pass,t:none"\n'
        'SecRule &GEO "@eq 5" "id:3,phase:2,pass"\n'
        'SecRule GEO:/^country_/ "@streq Ecuador" "id:4,phase:2,pass"\n'
        'SecRule GEO:CITY "@rx ." "id:5,phase:2,pass"\n'
    )
    made = program(cities, rules)
    assert run(made, "89.160.20.112", path=b"/?ip=203.0.113.7") == [1, 2, 3, 4]
    assert known(made) == QUITO
    assert run(made, "89.160.20.112", path=b"/?ip=10.0.0.1") == [1, 5]
    assert known(made) == LINKOPING


def test_a_negated_lookup(cities: Path) -> None:
    made = program(cities, 'SecRule REMOTE_ADDR "!@geoLookup" "id:1,phase:1,deny"')
    assert run(made, "192.0.2.1") == [1]
    assert run(made, "89.160.20.112") == []


def test_a_macro_of_a_place(cities: Path) -> None:
    made = program(cities, LOOKUP + 'SecAction "id:2,phase:1,pass,setvar:tx.from=%{GEO.COUNTRY_CODE}"')
    run(made, "203.0.113.7")
    assert made.store()[b"tx.from"] == b"EC"


def test_a_lookup_allocates_nothing(cities: Path) -> None:
    made = program(cities, LOOKUP)
    request = {"method": b"GET", "path": b"/", "source_address": b"89.160.20.112"}
    assert made.heap_growth(request, 1000) == 0


def wrong(folder: Path, rules: str) -> str:
    path = folder / "rules.conf"
    path.write_text(rules, encoding="utf-8")
    with pytest.raises(PolicyError) as error:
        compile_rules(load([path]))
    assert f"{path}:1" in str(error.value)
    return str(error.value)


def test_a_lookup_without_a_database_is_refused(tmp_path: Path) -> None:
    assert "S701" in (said := wrong(tmp_path, LOOKUP))
    assert "SecGeoLookupDb FILE" in said


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "GeoIP.dat").write_bytes(b"x" * 1000)
    os.mkfifo(tmp_path / "pipe.mmdb")
    for name, what in (
        ("none.mmdb", "No such file"),
        ("GeoIP.dat", "no MaxMind database"),
        ("pipe.mmdb", "not a regular file"),
        (".", "directory"),
    ):
        said = wrong(tmp_path, f"SecGeoLookupDb {name}")
        assert what in said
        assert "S101" in said


def test_a_broken_database_is_told_with_its_place(cities: Path) -> None:
    path = cities / "places.mmdb"
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\xab\xcd\xefMaxMind.com") :])
    with pytest.raises(EngineError, match=r"rules\.conf:1: .*places\.mmdb"):
        program(cities, LOOKUP)


def test_a_damaged_database_is_nowhere(cities: Path) -> None:
    """Whatever a byte of the records says, the lookup ends and nothing is read beyond the file."""
    path = cities / "places.mmdb"
    content = path.read_bytes()
    end = content.index(b"\xab\xcd\xefMaxMind.com")
    for at in range(0, end, 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x5F]) + content[at + 1 :])
        made = program(cities, LOOKUP)
        for client in ("89.160.20.112", "203.0.113.7", "2001:db8:20::1"):
            run(made, client)
            known_bytes = made.store()
            assert all(len(value) <= len(content) for value in known_bytes.values())


def test_another_file_is_another_program(cities: Path) -> None:
    path = cities / "rules.conf"
    path.write_text("SecGeoLookupDb places.mmdb\n" + LOOKUP, encoding="utf-8")
    before, again = compile_rules(load([path])), compile_rules(load([path]))
    assert before == again
    write_places(cities / "new.mmdb", COUNTRIES).replace(cities / "places.mmdb")
    assert compile_rules(load([path])) != before
