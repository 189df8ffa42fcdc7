"""The rules of the house: imports go one way, and one file reads the environment."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import ratelimitd

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ratelimitd"
GENERATED = ("v1",)

# Room -> what of ours it may import, by prefix. A room may always import itself.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "settings": ("errors",),
    "top": (),
    "notify": (),
    "progress": (),
    "policy": ("errors", "waf"),
    "waf": ("cache", "errors"),
    "client": ("v1",),
    "admin": ("_engine", "errors"),
    "redact": (),
    "cache": (),
    "log": ("_engine", "redact", "top"),
    "background": (),
    "blocklists": ("errors", "log"),
    "sync": ("_engine", "errors", "log"),
    "certificates": ("_engine", "errors", "log"),
    "reload": ("_engine", "policy", "waf", "errors", "log", "background"),
    "summary": ("policy.plan", "waf.program"),
    "trial": ("_engine", "cache", "policy", "waf", "errors"),
    "commands": ("app", "policy", "waf", "client", "trial", "summary", "progress", "redact", "errors", "settings"),
    "cli": ("app", "cache", "commands", "policy", "client", "settings", "errors"),
    "__main__": ("cli",),
    "_engine": ("policy.plan", "waf.program"),
    "app": ("",),
}


def sources() -> list[Path]:
    return sorted(
        p
        for p in PACKAGE.rglob("*.py*")
        if p.suffix in (".py", ".pyi") and p.relative_to(PACKAGE).parts[0] not in (*GENERATED, "_ext")
    )


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module named by an import, wherever it stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(names: Iterator[str]) -> Iterator[str]:
    """The imported names of ours, without the package; `from ratelimitd import __version__` is free to all."""
    for name in names:
        head, _, rest = name.partition(".")
        if head == "ratelimitd" and rest not in ("", "__version__"):
            yield rest


@pytest.mark.parametrize("path", sources(), ids=module)
def test_imports_go_one_way(path: Path) -> None:
    room = [*module(path).split("."), ""][1]
    if not room:
        return
    assert room in MAY_IMPORT, f"add {room} to the table: what may it import?"
    allowed = (room, *MAY_IMPORT[room])
    for name in ours(imports(ast.parse(path.read_text()))):
        assert any(prefix == "" or name == prefix or name.startswith(prefix + ".") for prefix in allowed), (
            f"{module(path)} imports {name}"
        )


@pytest.mark.parametrize("path", sources(), ids=module)
def test_only_settings_reads_the_environment(path: Path) -> None:
    if path.name == "settings.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv")), (
            module(path)
        )
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            assert not {alias.name for alias in node.names} & {"environ", "environb", "getenv"}, module(path)


def test_the_table_has_no_cycle() -> None:
    """A room is below all that may import it; app, the top, is left out."""
    rooms = {
        room: {p.split(".")[0] for p in allowed} - {"", room} for room, allowed in MAY_IMPORT.items() if room != "app"
    }
    settled: set[str] = {"v1", "app"}
    while rooms:
        ready = {room for room, needs in rooms.items() if needs <= settled}
        assert ready, f"a cycle among {sorted(rooms)}"
        settled |= ready
        rooms = {room: needs for room, needs in rooms.items() if room not in ready}


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == ratelimitd.__version__


def test_every_room_says_what_may_live_there() -> None:
    for init in PACKAGE.rglob("__init__.py"):
        if not set(init.relative_to(PACKAGE).parts) & {"v1", "_ext"}:
            assert ast.get_docstring(ast.parse(init.read_text())), module(init)
