"""Examples in other languages, run where their tools are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .limiter import Limiter
from .serving import EXAMPLES

OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ENETUNREACH", "ECONNRESET", "E403")


def test_node_asks_by_the_published_proto(limiter: Limiter, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("no Node here: examples/node was not run")
    shutil.copytree(EXAMPLES / "node", tmp_path, dirs_exist_ok=True)
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline"]
    installed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    if installed.returncode != 0 and any(code in installed.stderr for code in OFFLINE):
        pytest.skip(f"examples/node was not run, npm reaches no registry: {installed.stderr.splitlines()[0]}")
    assert installed.returncode == 0, installed.stderr
    environ = {**os.environ, "RATELIMITD_PROTO": str(EXAMPLES.parent / "proto")}
    ran = subprocess.run(
        [node, "check.js", limiter.grpc], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environ
    )
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["allow", "200"], ["allow", "200"], ["deny", "429"]], ran.stderr
    assert lines[2][2].startswith('"login";r=0;t=')
    assert int(lines[2][3]) > 0
