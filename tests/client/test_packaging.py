"""The client as it is shipped: a wheel and a layer that need no compiler, nothing else of ours, and no dependency."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from .conftest import EVENTS
from .limiter import Limiter

ROOT = Path(__file__).parents[2]
# Sizes in the docs.
WHEEL_AT_MOST = 64 << 10
LAYER_AT_MOST = 64 << 10

PROGRAM = """
import json, sys
from ratelimitd.client import HttpClient
from ratelimitd.client.aws import authorizer
import ratelimitd.client.asgi, ratelimitd.client.wsgi
handler = authorizer(HttpClient(sys.argv[1]), on_error="deny")
answers = [handler(json.load(open(sys.argv[2])), None)["isAuthorized"] for _ in range(3)]
print(ratelimitd.__file__, *answers)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", str(target)]
    without_compiler = {"CC": "false", "CXX": "false"}
    subprocess.run([*command, str(ROOT / "packaging" / "client")], check=True, env={**os.environ, **without_compiler})
    (made,) = target.iterdir()
    return made


def test_the_wheel_holds_the_client_and_nothing_else(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < WHEEL_AT_MOST
    with ZipFile(wheel) as packed:
        names = [n for n in packed.namelist() if ".dist-info/" not in n]
        (metadata,) = (n for n in packed.namelist() if n.endswith("/METADATA"))
        required = [line for line in packed.read(metadata).decode().splitlines() if line.startswith("Requires-Dist")]
    allowed = ("ratelimitd/client/", "ratelimitd/v1/", "ratelimitd/__init__.py", "ratelimitd/py.typed")
    assert [n for n in names if not n.startswith(allowed)] == []
    ours = {str(p.relative_to(ROOT)) for p in (ROOT / "ratelimitd" / "client").rglob("*.py")}
    assert ours <= set(names)
    assert all('extra == "grpc"' in line for line in required)


def test_a_fresh_environment_runs_a_handler(wheel: Path, limiter: Limiter, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    ran = subprocess.run(
        [python, "-I", "-c", PROGRAM, limiter.http, EVENTS / "http_2.json"], capture_output=True, text=True
    )
    assert ran.stdout.split()[1:] == ["True", "True", "False"], ran.stderr
    assert str(tmp_path) in ran.stdout


def test_the_layer_is_what_lambda_unpacks(wheel: Path, limiter: Limiter, tmp_path: Path) -> None:
    layers = [tmp_path / "a.zip", tmp_path / "b.zip"]
    for layer in layers:
        command = [sys.executable, str(ROOT / "packaging" / "layer.py"), str(wheel), str(layer)]
        subprocess.run(command, check=True, capture_output=True)
    assert layers[0].read_bytes() == layers[1].read_bytes()
    assert layers[0].stat().st_size < LAYER_AT_MOST
    with ZipFile(layers[0]) as packed:
        packed.extractall(tmp_path / "opt")
    ran = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, limiter.http, EVENTS / "http_2.json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "opt" / "python")},
    )
    assert ran.stdout.split()[1:] == ["True", "True", "False"], ran.stderr
