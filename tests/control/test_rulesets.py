"""Rule sets on the command line: what check counts, what explain shows of one rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_cli import Run, run

__all__ = ["run"]

RULES = """SecRule ARGS "@rx attack" "id:1001,phase:2,pass,t:lowercase,setvar:'tx.inbound_anomaly_score_pl1=+5'"
SecRule TX:never "@eq 1" "id:1002,phase:2,deny"
"""
POLICY = """version: 1
domain: shop
scan:
  mode: block
  rulesets: [{seclang: own.conf}]
  rules:
    - {id: mine, pattern: 'evil', targets: [args, '!args:password'], action: deny, message: an evil word}
  profiles: {loose: {threshold: 50}}
  routes: [{match: {path: /a}, profile: loose}]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "own.conf").write_text(RULES)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path / "policy.yaml"


def test_check_counts_rules_and_databases(run: Run, policy: Path, tmp_path: Path) -> None:
    result = run("check", policy, "--cache-dir", tmp_path / "cache")
    assert (result.code, "2 rules" in result.out, "pattern databases" in result.out) == (0, True, True)
    assert list((tmp_path / "cache").iterdir())
    data = json.loads(run("check", policy, "--json").out)["policies"][0]
    assert (data["domains"], data["rules"], data["databases"] > 0) == (1, 2, True)


def test_check_tells_errors_of_rule_files_beside_others(run: Run, policy: Path) -> None:
    (policy.parent / "own.conf").write_text(RULES + 'SecRule ARGZ "@rx a" "id:1,phase:2,pass"\n')
    policy.write_text(POLICY + "limits: {a: {key: [], limit: 1}}\n")
    result = run("check", policy)
    assert result.code == 1
    assert "error[S301]" in result.err
    assert f"{policy.parent / 'own.conf'}:3:9" in result.err
    assert 'SecRule ARGZ "@rx a"' in result.err
    assert "error[P201]" in result.err


def test_explain_tells_of_each_profile(run: Run, policy: Path) -> None:
    out = run("explain", policy).out
    assert "profile default: " in out
    assert "others never run" in out
    assert "in one pass over all fields" in out
    assert "route block, profile loose: path is /a" in out


def test_explain_shows_a_rule_as_written_and_as_compiled(run: Run, policy: Path) -> None:
    out = run("explain", policy, "--rule", "1001").out
    for said in ("own.conf:1:1", '"@rx attack"', "profile default", "when: rx attack", "in: ARGS", "after: lowercase"):
        assert said in out
    assert "sets: tx.inbound_anomaly_score_pl1 += 5" in out
    assert "runs: all fields are searched for it in one pass" in out
    assert out.endswith("profile loose:\n  the same\n")


def test_explain_shows_a_short_rule_and_what_our_own_rules_do(run: Run, policy: Path) -> None:
    out = run("explain", policy, "--rule", "mine").out
    assert "says: an evil word" in out
    assert "in: ARGS, !ARGS:password" in out
    assert "then: deny with 403" in out
    assert "when: ge 5" in run("explain", policy, "--rule", "threshold").out
    assert "when: ge 50" in run("explain", policy, "--rule", "threshold").out


def test_explain_says_that_a_rule_never_runs_or_is_not_there(run: Run, policy: Path) -> None:
    assert '"@eq 1"' in run("explain", policy, "--rule", "1002").out
    assert json.loads(run("explain", policy, "--rule", "1001", "--json").out)["profiles"][0]["profile"] == "default"
    result = run("explain", policy, "--rule", "1003")
    assert result.code == 2
    assert "no such rule; did you mean '1001'?" in " ".join(result.err.split())
