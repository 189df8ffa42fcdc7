"""Examples in other languages, run where their tools are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .limiter import Limiter
from .serving import EXAMPLES

OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ENETUNREACH", "ECONNRESET", "E403")
GO_OFFLINE = (
    "dial tcp",
    "no such host",
    "i/o timeout",
    "connection refused",
    "module lookup disabled",
    "403 Forbidden",
)


def two_pass_and_one_does_not(ran: subprocess.CompletedProcess[str]) -> None:
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["allow", "200"], ["allow", "200"], ["deny", "429"]], ran.stderr
    assert lines[2][2].startswith('"login";r=0;t=')
    assert int(lines[2][3]) > 0


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
    two_pass_and_one_does_not(ran)


def test_go_asks_by_the_published_proto(limiter: Limiter, tmp_path: Path) -> None:
    """As its first lines say, with the protoc of grpcio-tools."""
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not go:
        pytest.skip("no Go here: examples/go was not run")
    shutil.copytree(EXAMPLES / "go", tmp_path / "examples" / "go")
    (tmp_path / "proto").symlink_to(EXAMPLES.parent / "proto")
    (tmp_path / "bin").mkdir()
    protoc = tmp_path / "bin" / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec {sys.executable} -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    paths = os.pathsep.join([str(protoc.parent), str(Path(go).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": paths, "GOBIN": str(protoc.parent), "GOFLAGS": "-mod=readonly"}
    for command in (["install", "tool"], ["generate"], ["vet", "."], ["run", ".", limiter.grpc]):
        ran = subprocess.run(
            [go, *command], cwd=tmp_path / "examples" / "go", env=environ, capture_output=True, text=True, timeout=300
        )
        if ran.returncode != 0 and any(text in ran.stderr for text in GO_OFFLINE):
            pytest.skip(f"examples/go was not run, Go reaches no modules: {ran.stderr.splitlines()[-1]}")
        assert ran.returncode == 0, ran.stderr
    two_pass_and_one_does_not(ran)
