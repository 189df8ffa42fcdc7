"""All that the Core Rule Sets use is there: nothing of them is refused, whatever their setup switches on."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ratelimitd.errors import PolicyError
from ratelimitd.waf.compile import compile_rules, unsupported
from ratelimitd.waf.lower import lower
from ratelimitd.waf.seclang import load, parse
from ratelimitd.waf.seclang.tree import Configuration, Rule

from .engines import configuration
from .mmdb import COUNTRIES, write_places
from .rulesets import V3, V4

V3_SETUP = Path("/etc/modsecurity/crs")

# A switch of the setup: a directive that is commented out, with the links of its chain, over all their lines.
_LINES = rb"(?:.*\\\n#)*.*\n"
SWITCH = re.compile(
    rb"^#[ ]?(Sec(?:Action|Rule|GeoLookupDB|HttpBlKey)\b" + _LINES + rb"(?:#[ ]+SecRule\b" + _LINES + rb")*)",
    re.MULTILINE | re.IGNORECASE,
)


def files(*places: Path) -> list[Path]:
    """Every file of rules, examples too."""
    found = [
        f for place in places if place.is_dir() for f in place.rglob("*") if f.name.endswith((".conf", ".example"))
    ]
    return sorted(f for f in found if "util" not in f.parts and "tests" not in f.parts)


def version(number: int) -> list[Path]:
    found = files(V4) if number == 4 else files(V3, V3_SETUP)
    if not found:
        pytest.skip(f"the Core Rule Set {number} is not here")
    return found


def read(file: Path) -> Configuration:
    return load([file]) if file.suffix == ".conf" else parse(file.read_bytes())


def refused(file: Path) -> Iterator[str]:
    for directive in read(file).directives:
        if name := unsupported(directive):
            yield name
        if isinstance(directive, Rule):
            yield from (error.what for error in lower(directive).unsupported)


@pytest.mark.parametrize("number", [3, 4])
def test_no_word_is_refused(number: int) -> None:
    """Rule by rule, so that nothing is folded away."""
    found = {what for file in version(number) for what in refused(file)}
    assert found == set()


def switched_on(setup: Path) -> str:
    """The setup with every switch on, and a country that is not wanted."""

    def on(found: re.Match[bytes]) -> bytes:
        is_rule = found[1].lower().startswith((b"secrule", b"secaction"))
        example = is_rule and b"id:" not in found[1]
        return found[0] if example else re.sub(rb"(?m)^#", b"", found[1])

    text, count = SWITCH.subn(on, setup.read_bytes())
    assert count > 15, setup
    text = text.replace(b"country_codes='", b"country_codes=XX'")
    # Of the two databases that it names the one for ModSecurity 3.
    text = re.sub(rb"(?m)^(SecGeoLookupDB ).*\.dat$", b"", text)
    return re.sub(rb"(?m)^(SecGeoLookupDB ).*", rb"\1" + os.fsencode(places()), text).decode()


@cache
def places() -> Path:
    return write_places(Path(tempfile.mkdtemp(prefix="ratelimitd-places-")) / "places.mmdb", COUNTRIES)


def everything(number: int, level: int) -> Configuration:
    found = version(number)
    (setup,) = (f for f in found if f.name.startswith("crs-setup.conf"))
    rules = [f for f in found if f.suffix == ".conf" and f != setup]
    word = "paranoia_level" if number == 3 else "blocking_paranoia_level"
    levels = f'SecAction "id:899999,phase:1,nolog,pass,setvar:tx.{word}={level}"\n'
    return configuration([switched_on(setup), levels, *rules])


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_version_4_compiles_with_every_switch_on(level: int) -> None:
    assert len(compile_rules(everything(4, level)).links) > 300


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_version_3_compiles_with_every_switch_on(level: int) -> None:
    made = compile_rules(everything(3, level))
    assert len(made.links) > 250
    assert made.places is not None
    assert made.blocklist_key


@pytest.mark.parametrize(
    "line",
    [
        "SecArgumentSeparator ;",
        "SecCookieFormat 1",
        "SecParseXmlIntoArgs On",
        "SecXmlExternalEntity On",
        "SecUnicodeMapFile unicode.mapping 1252",
        'SecRule ARGS "@rx a" "id:1,phase:2,pass,ctl:parseXmlIntoArgs=On"',
        'SecRule REMOTE_PORT "@eq 1" "id:1,phase:2,pass"',
        'SecRule SERVER_ADDR "@ipMatch 10.0.0.1" "id:1,phase:2,pass"',
        'SecRule FULL_REQUEST "@rx a" "id:1,phase:2,pass"',
    ],
)
def test_what_would_not_hold_is_refused(line: str) -> None:
    with pytest.raises(PolicyError) as caught:
        compile_rules(parse(line.encode()))
    assert caught.value.diagnostics[0].code in ("S701", "S702")


@pytest.mark.parametrize(
    "line", ["SecArgumentSeparator &", "SecCookieFormat 0", "SecUnicodeMapFile unicode.mapping 20127"]
)
def test_the_usual_settings_are_taken(line: str) -> None:
    compile_rules(parse(line.encode()))
