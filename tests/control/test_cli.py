"""The commands: exit codes, what they print for people and for programs, and help that teaches."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ratelimitd import __version__, cli, settings
from ratelimitd.policy.checks import rules


@dataclass
class Result:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def command(*arguments: str | Path, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["ratelimitd", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return Result(int(caught.value.code or 0), captured.out, captured.err)

    return command


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.yaml"
    path.write_text(
        "version: 1\ndomain: shop\nlimits:\n"
        "  per-ip: {key: client.ip, limit: 1, widnow: 1m}\n"
        "  b: {limit: -1, window: 1m}\n"
    )
    return path


def test_python_dash_m() -> None:
    done = subprocess.run([sys.executable, "-m", "ratelimitd", "version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"ratelimitd {__version__}\n"


def test_help_is_quick() -> None:
    """It imports no server, no gRPC, no schema: a completion or a typo must not wait for them."""
    code = (
        "import sys; sys.argv=['ratelimitd','--help']\n"
        "from ratelimitd import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy={'grpc','pydantic','uvicorn','starlette','rich','ruamel','structlog','hyperscan','ratelimitd._engine'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_help_teaches(run: Run) -> None:
    shown = run("--help").out
    for command in ("serve", "check", "test", "explain", "schema", "call", "version"):
        assert f"  {command}" in shown
        assert f"ratelimitd {command}" in run(command, "--help").out or command == "version"


def test_help_of_serve_names_every_variable_and_default(run: Run) -> None:
    shown = run("serve", "--help").out
    for f in settings.flags():
        assert settings.flag(f.name) in shown
        assert settings.variable(f.name) in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["check"],
        ["serve", "--workers", "x"],
        ["serve", "--workers", "65"],
        ["serve", "--log-level", "loud"],
    ],
)
def test_usage_errors_exit_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert result.err


def test_check_says_ok(run: Run, policy: Path) -> None:
    result = run("check", policy)
    assert result.code == 0
    assert "ok" in result.out
    assert "2 limits" in result.out


def test_check_prints_every_error_with_its_place(run: Run, broken: Path, policy: Path) -> None:
    result = run("check", policy, broken)
    assert result.code == 1
    assert f"{broken}:4:" in result.err
    assert f"{broken}:5:" in result.err
    assert "did you mean 'window'?" in result.err
    assert str(policy) in result.out


def test_check_tells_errors_of_meaning_beside_errors_of_shape(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\ndomain: d\nlimits:\n  a: {key: path.user, limit: 1, widnow: 1s}\n")
    result = run("check", path)
    assert "P203" in result.err
    assert "P304" in result.err
    assert "Run it again" not in result.err


def test_check_says_that_there_may_be_more_when_it_could_not_read_on(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("version: 1\ndomain: [\n")
    assert "Run it again" in run("check", path).err


def test_check_tells_every_pattern_that_only_the_engine_refuses(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Hyperscan's binding for Python is missing."""
    monkeypatch.setattr(rules, "pattern_error", lambda *_: "")
    path = tmp_path / "p.yaml"
    path.write_text(
        "version: 1\ndomain: d\nscan:\n  mode: block\n  rules:\n"
        "    - {id: a, pattern: 'a(', targets: args}\n    - {id: b, pattern: 'b(', targets: path}\n"
    )
    result = run("check", path)
    assert result.code == 1
    for line in (6, 7):
        assert f"{path}:{line}:24" in result.err


def test_check_json(run: Run, broken: Path) -> None:
    result = run("check", broken, "--json")
    report = result.json()
    assert (result.code, report["ok"]) == (1, False)
    lines = {d["line"] for d in report["policies"][0]["diagnostics"]}
    assert lines == {4, 5}
    assert all(d["code"] and d["file"] == str(broken) for d in report["policies"][0]["diagnostics"])


@pytest.mark.parametrize("command", ["check", "test", "explain"])
def test_a_file_that_is_not_there(run: Run, command: str, tmp_path: Path) -> None:
    result = run(command, tmp_path / "absent.yaml")
    assert result.code == 1
    assert "absent.yaml" in result.err
    assert "Traceback" not in result.err


def test_schema_is_a_json_schema(run: Run) -> None:
    shown = run("schema").json()
    assert shown["type"] == "object"
    assert "limits" in shown["properties"]


def test_tests_pass_and_fail(run: Run, policy: Path) -> None:
    result = run("test", policy)
    assert result.code == 0
    assert "1 passed" in result.out
    policy.write_text(policy.read_text().replace("allowed: 2, denied: 1", "allowed: 1, denied: 2"))
    result = run("test", policy)
    assert result.code == 1
    assert "FAIL" in result.out
    assert "denied: expected 2, got 1" in result.out


def test_tests_json(run: Run, policy: Path) -> None:
    report = run("test", policy, "--json").json()
    assert (report["passed"], report["failed"]) == (1, 0)
    assert report["cases"][0]["requests"] == 3


def test_a_policy_without_tests_says_where_they_go(run: Run, policy: Path) -> None:
    policy.write_text(policy.read_text().partition("tests:")[0])
    result = run("test", policy)
    assert result.code == 0
    assert "`tests`" in result.out


def test_explain_prints_the_compiled_form(run: Run, policy: Path) -> None:
    assert "100 per 1m" in run("explain", policy).out
    assert run("explain", policy, "--json").json()["domains"][0]["name"] == "shop"


def test_explain_a_request(run: Run, policy: Path) -> None:
    request = json.dumps({"method": "GET", "path": "/login", "ip": "203.0.113.7"}).encode()
    report = run("explain", policy, "--request", "-", "--json", stdin=request).json()
    limits = {line["name"]: line for line in report["limits"]}
    assert limits["per-ip"]["applies"]
    assert limits["per-ip"]["key"] == "203.0.113.7"
    assert not limits["login"]["applies"]
    assert "GET" in limits["login"]["because"]
    assert report["verdict"]["decision"] == "allow"
    assert [state["name"] for state in report["verdict"]["limits"]] == ["per-ip"]


def test_explain_a_request_for_people(run: Run, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"method": "POST", "path": "/login", "ip": "2001:db8::1"}')
    shown = run("explain", policy, "--request", tmp_path / "r.json").out
    assert "2001:db8::" in shown
    assert "verdict  ALLOW 200" in shown


RULES = """
version: 1
domain: d
lists:
  friends: {allow: [192.0.2.0/24]}
scan:
  mode: block
  threshold: 8
  partial_body: deny
  routes:
    - {match: {path: /media/**}, mode: off}
  rules:
    - {id: secret-a, pattern: evil, targets: args, transformations: lowercase, message: no evil}
    - {id: b, pattern: evil, targets: [cookies, "headers:x-a"]}
    - {id: c, pattern: zzz, targets: args}
    - {id: d, pattern: yyy, targets: args}
"""


def rules_of(report: Any) -> dict[str, Any]:
    return {rule["rule"]: rule for rule in report["scan"]["rules"]}


@pytest.fixture
def explain_rules(run: Run, tmp_path: Path) -> Callable[..., Result]:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)

    def explain(*options: str, **request: Any) -> Result:
        return run("explain", path, "--request", "-", *options, stdin=json.dumps(request).encode())

    return explain


def test_explain_says_of_every_rule_why(explain_rules: Callable[..., Result]) -> None:
    report = explain_rules("--json", path="/?q=EVIL&r=b").json()
    rules = rules_of(report)
    assert [rule for rule in rules if not rule.isdigit()] == ["secret-a", "b", "c", "d"]
    assert rules["secret-a"]["fired"]
    assert rules["secret-a"]["hits"] == [{"target": "ARGS:q", "bytes": 4, "like": "a"}]
    assert rules["b"]["because"] == "nothing to look at: REQUEST_COOKIES, REQUEST_HEADERS:x-a"
    assert rules["c"]["because"] == "found nothing in ARGS (2 values)"
    assert rules["c"]["values"] == 2
    assert (report["scan"]["score"], report["scan"]["profile"], report["verdict"]["score"]) == (5, "default", 5)


def test_explain_shows_values_only_when_asked(explain_rules: Callable[..., Result]) -> None:
    for options in ([], ["--json"]):
        assert "evil=" not in explain_rules(*options, path="/", headers={"x-a": "evil=1"}).out
    assert "REQUEST_HEADERS:x-a = evil=1" in explain_rules("--show-values", path="/", headers={"x-a": "evil=1"}).out
    report = explain_rules("--show-values", "--json", path="/", headers={"x-a": "evil=1"}).json()
    assert rules_of(report)["b"]["hits"][0]["value"] == "evil=1"


def test_explain_rules_for_people(explain_rules: Callable[..., Result]) -> None:
    shown = explain_rules(path="/?q=EVIL").out
    assert "scan: block, 7 rules: score 5\n" in shown
    assert "secret-a  score 5  no evil\n" in shown
    assert "  ARGS:q (4 bytes like a) after lowercase\n" in shown
    assert "2 rules   found nothing in ARGS (1 value)\n" in shown
    assert "c, d\n" in shown
    assert "\x1b" not in explain_rules("--show-values", path="/", headers={"x-a": "\x1b[2Jevil"}).out


@pytest.mark.parametrize(
    ("request_", "because"),
    [
        ({"path": "/media/a?q=evil"}, "scan is off for this request: route 1"),
        ({"path": "/?q=evil", "ip": "192.0.2.1"}, "not reached: list friends decides"),
        ({"path": "/?q=evil", "body": "a", "partial_body": True}, "not reached: a cut body is denied"),
    ],
)
def test_explain_says_why_there_was_no_scan(
    explain_rules: Callable[..., Result], request_: dict[str, Any], because: str
) -> None:
    report = explain_rules("--json", **request_).json()
    assert {rule["because"] for rule in report["scan"]["rules"]} == {because}
    assert report["verdict"]["matches"] == []
    assert f"7 rules  {because}" in explain_rules(**request_).out


@pytest.mark.parametrize("request_", [b"", b"[]", b'{"pth": 1}', b'{"domain": "nobody"}', b'{"cost": -1}'])
def test_explain_a_request_that_is_none(run: Run, policy: Path, request_: bytes) -> None:
    result = run("explain", policy, "--request", "-", stdin=request_)
    assert result.code == 2
    assert "Traceback" not in result.err


def test_call_without_a_server_says_what_to_do(run: Run) -> None:
    result = run("call", "--address", "127.0.0.1:1")
    assert result.code == 1
    assert "ratelimitd serve" in result.err


@pytest.mark.parametrize(
    "arguments", [["-H", "no-colon"], ["-a", "novalue"], ["--body", "@/absent"], ["--cost", "-1"], ["--repeat", "0"]]
)
def test_call_usage(run: Run, arguments: list[str]) -> None:
    assert run("call", "--address", "127.0.0.1:1", *arguments).code == 2


def test_a_bad_policy_does_not_start(run: Run, broken: Path) -> None:
    result = run("serve", "--policy", broken, "--listen", "127.0.0.1:0", "--admin", "off")
    assert result.code == 1
    assert "did you mean 'window'?" in result.err


@pytest.mark.parametrize(
    ("admin", "hint"),
    [
        (["0.0.0.0:0"], "--admin-allow-remote"),
        (["0.0.0.0:0", "--admin-allow-remote"], "--admin-open"),
        (["127.0.0.1:0", "--admin-token-file", "/nowhere/token"], "--admin-token-file /nowhere/token: No such file"),
        (["unix:/nowhere/admin.sock?mode=rw"], "?mode=0660"),
        (["nonsense"], "loopback"),
    ],
)
def test_a_bad_admin_address_does_not_start(run: Run, policy: Path, admin: list[str], hint: str) -> None:
    result = run("serve", "--policy", policy, "--listen", "127.0.0.1:0", "--admin", *admin)
    assert result.code == 2
    assert hint in result.err


def test_explain_fills_in_what_a_message_says(run: Run, tmp_path: Path) -> None:
    says = "msg:'%{MATCHED_VAR_NAME} has %{MATCHED_VAR}'"
    (tmp_path / "rules.conf").write_text(
        f'SecRule ARGS "@contains evil" "id:7,phase:2,pass,setvar:tx.my_score=+3,{says}"\n'
        'SecRule TX:my_score "@ge 3" "id:8,phase:2,deny,msg:\'%{tx.my_score} of %{tx.nothing}\'"\n'
    )
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\ndomain: d\nscan: {mode: block, rulesets: [{seclang: rules.conf}]}\n")
    asked = json.dumps({"path": "/?q=evil-1"}).encode()
    said = {}
    for options in ([], ["--show-values"]):
        report = run("explain", path, "--request", "-", "--json", *options, stdin=asked).json()
        said[bool(options)] = [rules_of(report)[rule]["message"] for rule in ("7", "8")]
    assert said[False] == ["ARGS:q has 6 bytes like a-0", "3 of %{TX.nothing}"]
    assert said[True] == ["ARGS:q has evil-1", "3 of %{TX.nothing}"]
    shown = run("explain", path, "--request", "-", stdin=asked).out
    assert "  score 0  ARGS:q has 6 bytes like a-0\n" in shown
    assert "  TX:my_score (3)\n" in shown


def test_explain_tells_what_a_score_costs_and_what_only_would_deny(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "version: 1\ndomain: d\nlimits: {per-ip: {key: client.ip, limit: 9, window: 1m, score_cost: 4}}\n"
        "scan: {mode: detect, rules: [{id: a, pattern: evil, targets: args, action: deny, score: 3}]}\n"
    )
    shown = run("explain", path, "--request", "-", stdin=json.dumps({"path": "/?q=evil"}).encode()).out
    assert "per-ip  9 per 1m, 4 more for each point of the scan's score" in shown
    assert "score 3, rule a would deny\n" in shown
    assert "score 3, rule a denies" not in shown
