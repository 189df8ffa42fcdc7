"""The files in bad/: what is told about them, and where."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ratelimitd.errors import Diagnostic, PolicyError
from ratelimitd.waf.seclang import load, parse
from ratelimitd.waf.seclang.codes import CODES
from ratelimitd.waf.seclang.source import MAX_REPORTED
from tests.waf.shared import ROOT

HERE = Path(__file__).resolve().parent
BAD = sorted((HERE / "bad").glob("*.conf"))


def told(path: Path) -> list[Diagnostic]:
    with pytest.raises(PolicyError) as caught:
        load([path])
    return caught.value.diagnostics


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_told_everything_with_its_place(path: Path) -> None:
    """CODE:LINE:COLUMN, and the file when it is another one."""
    found = []
    for diagnostic in told(path):
        place = diagnostic.position
        assert place is not None
        other = "" if Path(place.file) == path else f" {Path(place.file).name}"
        found.append(f"{diagnostic.code}:{place.line}:{place.column}{other}")
    assert found == path.with_suffix(".expected").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_error_shows_its_line(path: Path) -> None:
    for diagnostic in told(path):
        assert diagnostic.position is not None
        lines = Path(diagnostic.position.file).read_text(encoding="utf-8").splitlines()
        assert diagnostic.excerpt == lines[diagnostic.position.line - 1]
        assert 1 <= diagnostic.position.column <= len(diagnostic.excerpt) + 1
        assert "\n" not in diagnostic.message + diagnostic.hint


def test_every_code_is_explained_and_shown_by_a_bad_file() -> None:
    codes = {code for code in CODES if code < "S7"}  # the rest is the compiler's
    sources = (ROOT / "ratelimitd" / "waf" / "seclang").glob("*.py")
    source = "".join(path.read_text(encoding="utf-8") for path in sources if path.stem != "codes")
    assert set(re.findall(r'"(S[1-9][0-9]{2})"', source)) == codes
    expected = "".join(path.with_suffix(".expected").read_text(encoding="utf-8") for path in BAD)
    assert set(re.findall(r"S[0-9]{3}", expected)) == codes - {"S102"}  # see the bounds below


def codes(text: bytes) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    return [diagnostic.code for diagnostic in caught.value.diagnostics]


def test_bounds() -> None:
    """What would take too long, or too much, is refused."""
    assert codes(b'SecRule ARGS "@rx ' + b"a" * 300_000 + b'" "id:1,pass"') == ["S102"]
    assert codes(b"SecRule " + b"ARGS|" * 1001 + b'ARGS "@rx a" "id:1,pass"') == ["S102"]
    assert codes(b"SecRule " + b"ARGS|" * 100_000 + b'ARGS "@rx a" "id:1,pass"') == ["S102"]
    assert codes(b'SecAction "' + b"nolog," * 2000 + b'pass"') == ["S102"]
    assert codes(b"SecAction \"msg:'" + b"a" * 70_000 + b"'\"") == ["S102"]
    assert codes(b"SecRuleRemoveById" + b" 1" * 10_001) == ["S102"]
    links = b'SecRule ARGS "@rx a" "chain"\n' * 200 + b'SecRule ARGS "@rx a"\n'
    assert codes(b'SecRule ARGS "@rx a" "id:1,chain"\n' + links) == ["S102"]


def test_only_so_many_errors_are_told() -> None:
    assert codes(b"what\n" * 10_000) == ["S201"] * MAX_REPORTED


def test_a_file_that_includes_itself_through_another(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("Include b.conf\n")
    (tmp_path / "b.conf").write_text("Include *.conf\n")
    assert [d.code for d in told(tmp_path / "a.conf")] == ["S103", "S103"]


def test_a_directory_is_its_conf_files_by_name(tmp_path: Path) -> None:
    for name in ("b.conf", "a.conf", "c.conf.example"):
        (tmp_path / name).write_text(f"SecMarker {name[0]}\n")
    assert [getattr(d, "name", None) for d in load([tmp_path]).directives] == [b"a", b"b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PolicyError, match="S103"):
        load([tmp_path / "empty"])
    with pytest.raises(PolicyError, match="S101"):
        load([tmp_path / "none.conf"])


def test_a_data_file_is_looked_for_beside_its_rule(tmp_path: Path) -> None:
    """Of a phrase the whole line counts; an address may have a comment behind it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "words.data").write_bytes(b"# comment\none two \n\n  # more\nthree\r\n")
    (tmp_path / "rules" / "nets.data").write_bytes(b"10.0.0.0/8 # ours\n\n#\n::1, 127.0.0.1\n")
    (tmp_path / "rules" / "a.conf").write_text(
        'SecRule ARGS "@pmFromFile words.data" "id:1,pass"\nSecRule REMOTE_ADDR "!@ipMatchF nets.data" "id:2,pass"\n'
    )
    (tmp_path / "main.conf").write_text('Include "rules/*.conf"\n')
    configuration = load([tmp_path / "main.conf"])
    operators = [rule.operator for rule in configuration.rules()]
    assert operators[0] is not None
    assert operators[0].phrases is not None
    assert operators[0].phrases.lines == (b"one two ", b"three\r")
    assert operators[1] is not None
    assert operators[1].negated
    assert operators[1].phrases is not None
    assert operators[1].phrases.lines == (b"10.0.0.0/8", b"::1, 127.0.0.1")
    assert len(configuration.files) == 4


def test_an_include_does_not_search_without_end() -> None:
    assert codes(b"Include " + b"/*/.." * 3) == ["S102"]
    assert codes(b"Include " + b"a" * 5000) == ["S102"]
