"""Of the package `ratelimitd` only what the edge needs; the messages are generated as for the server."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def generate_protos() -> None:
    """Where they are missing or old: they may be in use."""
    made = ROOT / "ratelimitd" / "v1" / "ratelimit_pb2_grpc.py"
    source = ROOT / "proto" / "ratelimitd" / "v1" / "ratelimit.proto"
    if made.exists() and made.stat().st_mtime > source.stat().st_mtime:
        return
    spec = importlib.util.spec_from_file_location("ratelimitd_setup", ROOT / "setup.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate_protos()


class BuildPy(build_py):
    def run(self) -> None:
        generate_protos()
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[Any]:
        modules = super().find_package_modules(package, package_dir)
        return [m for m in modules if m[1] == "__init__"] if package == "ratelimitd" else modules


# Nothing is left behind in the tree: what a later version no longer has must not get into its wheel.
scratch = mkdtemp(prefix="ratelimitd-client-")
setup(
    cmdclass={"build_py": BuildPy},
    options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
)
