"""The examples are what they say: Envoy accepts its configuration, ours are good policies and known settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ratelimitd.policy import load_text
from ratelimitd.settings import flag, flags, variable

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.e2e


def test_envoy_accepts_its_example() -> None:
    envoy = Path(sys.executable).with_name("envoy")
    config = EXAMPLES / "envoy" / "envoy.yaml"
    done = subprocess.run([envoy, "--mode", "validate", "-c", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_kubernetes_example_serves_a_good_policy_by_known_settings() -> None:
    documents = list(YAML(typ="safe").load_all((EXAMPLES / "kubernetes" / "ratelimitd.yaml").read_text()))
    policies, deployment = documents[0]["data"], documents[1]
    for text in policies.values():
        assert load_text(text).plan.domains
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    known = {flag(f.name) for f in flags()}
    assert {argument for argument in container["args"] if argument.startswith("--")} <= known
    assert {entry["name"] for entry in container["env"]} <= {variable(f.name) for f in flags()}
