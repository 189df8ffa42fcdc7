"""Pattern databases: cached on disk, shared in memory."""

from __future__ import annotations

from pathlib import Path

from ratelimitd._ext.scan.database import databases_in_use
from ratelimitd._ext.waf.probe import Program

from ratelimitd.waf.program import Link, Operator, Selector, Variable
from ratelimitd.waf.program import Program as Rules

REQUEST = {"method": b"GET", "path": b"/?a=EVIL+in+a+cache"}


def rules(pattern: bytes, number: int = 1, variable: Variable = Variable.ARGS) -> Rules:
    return Rules((Link(number, 2, (Selector(variable),), Operator.RX, argument=(pattern,)),))


def found(program: Program) -> list[int]:
    return [fired["rule"] for fired in program.run(REQUEST)["fired"]]


def test_the_cache_is_used_and_never_trusted(tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def scan() -> list[int]:
        return found(Program(rules(b"EVIL in a [c]ache"), str(cache)))

    assert scan() == [1]
    [file] = cache.glob("*.hsdb")
    whole = file.read_bytes()
    before = file.stat().st_ino
    assert scan() == [1]
    assert file.stat().st_ino == before  # not written again
    for broken in (b"", whole[:-1], whole[:60], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b"x" + whole[1:]):
        file.write_bytes(broken)
        assert scan() == [1]
        assert file.read_bytes() == whole
    assert list(cache.glob("*.hsdb")) == [file]
    Program(rules(b"EVIL in another [c]ache"), str(cache))
    assert len(list(cache.glob("*.hsdb"))) == 2


def test_programs_with_the_same_patterns_share_a_database() -> None:
    before = databases_in_use()
    one = Program(rules(b"shared [E]VIL"))
    held = databases_in_use()
    two = Program(rules(b"shared [E]VIL", 2, Variable.REQUEST_FILENAME))
    assert databases_in_use() == held > before
    del one
    assert databases_in_use() == held
    del two
    assert databases_in_use() == before


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert found(Program(rules(b"EVIL"), str(tmp_path / "file" / "cache"))) == [1]
