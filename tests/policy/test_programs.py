"""Rule sets, exclusions, modes and profiles in a policy: what the programs that come out of it do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ratelimitd.errors import PolicyError
from ratelimitd.policy import load_policy, load_text
from ratelimitd.policy.evaluate import evaluate
from ratelimitd.policy.plan import Client, Profile, Scan, ScanMode
from ratelimitd.policy.request import Request
from ratelimitd.waf.program import Disruption
from tests.waf.rulesets import V3, V4, needs_v3, needs_v4

OWN = r"""
SecAction "id:900,phase:1,nolog,pass,setvar:tx.own=1"
SecRule ARGS "@rx attack" "id:1001,phase:2,pass,log,t:none,tag:'own',setvar:'tx.inbound_anomaly_score_pl1=+5'"
SecRule ARGS|REQUEST_HEADERS:user-agent "@contains evil" "id:1002,phase:2,deny,status:418,tag:'own',tag:'evil'"
SecRule ARGS_NAMES "@streq a" "id:1003,phase:2,pass,log,chain"
    SecRule ARGS "@rx ^b" "setvar:'tx.inbound_anomaly_score_pl1=+3'"
"""
HEAD = "version: 1\ndomain: shop\nscan:\n  mode: block\n  rulesets: [{seclang: own.conf}]\n"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    (tmp_path / "own.conf").write_text(OWN)

    def made(text: str, head: str = HEAD) -> Scan:
        (tmp_path / "policy.yaml").write_text(head + text)
        policy = load_policy(tmp_path / "policy.yaml")
        assert policy.warnings == ()
        return policy.plan.domains[0].scan

    return made


def run(profile: Profile, path: str = "/", **request: Any) -> Any:
    probe = pytest.importorskip("ratelimitd._ext.waf.probe")
    asked = {"method": b"GET", "path": path.encode(), "source_address": b"192.0.2.1", **request}
    return probe.Program(profile.program).run(asked)


def fired(profile: Profile, path: str = "/", **request: Any) -> list[str]:
    return [found["id"].decode() for found in run(profile, path, **request)["fired"]]


def route(scan: Scan, path: str, **attributes: str) -> tuple[ScanMode, str]:
    """Mode and profile that the engine would take."""
    request = Request(path=path.encode(), attributes=tuple((k.encode(), v.encode()) for k, v in attributes.items()))
    for item in scan.routes:
        if evaluate(item.match, request, Client())[0]:
            return item.mode, scan.profiles[item.profile].name.decode()
    return scan.mode, scan.profiles[0].name.decode()


# ---- scores


def test_rules_of_every_kind_add_to_one_score(load: Any) -> None:
    scan = load("  threshold: 8\n  rules:\n    - {id: mine, pattern: attack, targets: query, score: 3}\n")
    (profile,) = scan.profiles
    found = run(profile, "/?q=attack")
    assert found["score"] == 8
    assert found["denied"]
    assert (found["status"], found["fired"][found["deciding"]]["id"]) == (403, b"threshold")
    assert not run(profile, "/?q=at%74ack")["denied"]


def test_the_threshold_and_the_status_are_the_policys(load: Any) -> None:
    (profile,) = load("  status: 406\n").profiles
    assert (run(profile, "/?q=attack")["denied"], run(profile, "/?q=attack")["status"]) == (True, 406)
    assert run(profile, "/?q=evil")["status"] == 418
    (profile,) = load("  threshold: {inbound: 6}\n").profiles
    assert not run(profile, "/?q=attack")["denied"]


def test_a_rule_set_that_decides_by_its_score_is_left_to_it(tmp_path: Path) -> None:
    deciding = 'SecRule TX:INBOUND_ANOMALY_SCORE_PL1 "@ge 9" "id:2000,phase:2,deny"\n'
    (tmp_path / "own.conf").write_text(OWN + deciding)
    (tmp_path / "policy.yaml").write_text(HEAD)
    program = load_policy(tmp_path / "policy.yaml").plan.domains[0].scan.profiles[0].program
    assert b"threshold" not in [link.name for link in program.links]


def test_the_mode_is_the_policys_whatever_a_rule_file_says(tmp_path: Path) -> None:
    (tmp_path / "own.conf").write_text("SecRuleEngine DetectionOnly\n" + OWN)
    (tmp_path / "policy.yaml").write_text(HEAD)
    (profile,) = load_policy(tmp_path / "policy.yaml").plan.domains[0].scan.profiles
    assert run(profile, "/?q=evil")["denied"]


# ---- exclusions


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("", ["1001", "1002"]),
        ("{rules: 1001}", ["1002"]),
        ("{rules: [1000-1001]}", ["1002"]),
        ("{tags: own}", []),
        ("{tags: evil}", ["1001"]),
        ("{rules: 1001, targets: args:q}", ["1002"]),
        ("{rules: 1001, targets: args:other}", ["1001", "1002"]),
        ("{targets: 'args:q*'}", []),
        ("{targets: args}", []),
        ("{targets: headers}", ["1001", "1002"]),
        ("{tags: evil, targets: [headers, args]}", ["1001"]),
    ],
)
@pytest.mark.parametrize("match", ["", "match: {path: /search}"])
def test_exclusions(load: Any, exclude: str, left: list[str], match: str) -> None:
    said = exclude.replace("}", f", {match}}}") if exclude and match else exclude
    scan = load(f"  threshold: 99\n  exclude: [{said}]\n")
    _, name = route(scan, "/search")
    profile = next(p for p in scan.profiles if p.name.decode() == name)
    assert fired(profile, "/search?query=attack+evil&q=attack+evil") == left or "q" in exclude
    assert fired(profile, "/search?q=attack+evil") == left
    if match:
        assert fired(scan.profiles[0], "/?q=attack+evil") == ["1001", "1002"]


def test_a_conditional_exclusion_shares_its_patterns(load: Any) -> None:
    scan = load("  exclude: [{tags: own, match: {path: /search}}]\n")
    first, second = (profile.program for profile in scan.profiles)
    assert second.links[0].ctls[0].rules
    assert [link.argument for link in second.links[1:]] == [link.argument for link in first.links]


def test_exclusions_whose_matches_meet_hold_together(load: Any) -> None:
    text = "  exclude:\n    - {rules: 1001, match: {path: /a}}\n    - {rules: 1002, match: {method: GET}}\n"
    scan = load(text + "    - {rules: 1003, match: {path: /b}}\n")
    assert [p.name for p in scan.profiles] == [
        b"default",
        b"default~1,2",
        b"default~2,3",
        b"default~1",
        b"default~2",
        b"default~3",
    ]
    assert len(scan.routes) == 5


def test_many_exclusions_of_different_paths_are_no_more_cases_than_that(load: Any) -> None:
    lines = "".join(f"    - {{rules: 1001, match: {{path: /p{i}/*}}}}\n" for i in range(100, 200))
    scan = load("  exclude:\n" + lines)
    assert len(scan.profiles) == 101
    assert route(scan, "/p150/x") == (ScanMode.BLOCK, "default~51")


# ---- modes of rules


def test_a_rule_that_only_watches_counts_for_nothing(load: Any) -> None:
    (profile,) = load("  rule_modes: {1001: detect, 1002: detect}\n").profiles
    found = run(profile, "/?q=attack+evil")
    assert [(f["id"], f["score"]) for f in found["fired"]] == [(b"1001", 0), (b"1002", 0)]
    assert not found["denied"]


def test_a_rule_can_deny_alone_or_be_off(load: Any) -> None:
    (profile,) = load("  threshold: 99\n  rule_modes: {1000-1003: off, 1001: block}\n").profiles
    found = run(profile, "/?q=attack+evil")
    assert [f["id"] for f in found["fired"]] == [b"1001"]
    assert (found["denied"], found["status"]) == (True, 403)


# ---- bodies

JSON = {"method": b"POST", "headers": [(b"content-type", b"application/json")], "body": b'{"a": "b"'}
BYTES = {"method": b"POST", "headers": [(b"content-type", b"application/x-own")], "body": b"\x00attack"}


def test_a_body_that_is_not_what_it_says_may_be_denied(load: Any) -> None:
    (profile,) = load("").profiles
    assert not run(profile, **JSON)["denied"]
    assert "200002" in fired(profile, **JSON)
    (profile,) = load("  broken_body: deny\n").profiles
    assert (run(profile, **JSON)["denied"], run(profile, **JSON)["status"]) == (True, 400)
    assert not run(profile, **{**JSON, "body": b'{"a": 1}'})["denied"]


def test_a_body_of_an_unknown_type_may_be_denied(load: Any) -> None:
    (profile,) = load("").profiles
    assert not run(profile, **BYTES)["denied"]
    (profile,) = load("  unknown_body: deny\n").profiles
    assert (run(profile, **BYTES)["denied"], run(profile, **BYTES)["status"]) == (True, 415)
    assert not run(profile, **{**JSON, "body": b"{}"})["denied"]
    assert not run(profile, "/?q=1")["denied"]


# ---- profiles


def test_a_profile_has_of_scan_what_it_does_not_say(load: Any) -> None:
    scan = load(
        "  threshold: 9\n  status: 406\n  exclude: [{rules: 1003}]\n"
        "  profiles:\n    strict: {threshold: 5, exclude: [{rules: 1002}]}\n"
        "  routes: [{match: {path: /secure/*}, profile: strict}, {match: {path: /media/*}, mode: off}]\n"
    )
    default, strict = scan.profiles
    assert (route(scan, "/"), route(scan, "/secure/x")) == ((ScanMode.BLOCK, "default"), (ScanMode.BLOCK, "strict"))
    assert route(scan, "/media/x")[0] is ScanMode.OFF
    assert not run(default, "/?q=attack")["denied"]
    assert (run(strict, "/?q=attack")["denied"], run(strict, "/?q=attack")["status"]) == (True, 406)
    assert (fired(default, "/?q=evil"), fired(strict, "/?q=evil")) == (["1002"], [])


def test_a_check_may_name_its_profile(load: Any) -> None:
    scan = load(
        "  profiles: {strict: {threshold: 2}, loose: {threshold: 50}}\n  profile_attribute: waf\n"
        "  routes: [{match: {path: /secure/*}, profile: strict, mode: detect}]\n"
    )
    assert route(scan, "/", waf="loose") == (ScanMode.BLOCK, "loose")
    assert route(scan, "/secure/x", waf="loose") == (ScanMode.DETECT, "loose")
    assert route(scan, "/secure/x", waf="other") == (ScanMode.DETECT, "strict")
    assert route(scan, "/") == (ScanMode.BLOCK, "default")


def test_a_scan_without_rules_has_no_program() -> None:
    assert load_text("version: 1\ndomain: shop\n").plan.domains[0].scan.profiles == ()


def test_an_unrelated_edit_leaves_programs_equal(load: Any) -> None:
    rules = "  rules:\n    - {id: mine, pattern: x, targets: args}\n"
    first = load(rules)
    second = load(rules, HEAD.replace("domain", "# a line more\ndomain"))
    assert first.profiles == second.profiles


def test_a_limit_may_count_what_the_scan_finds() -> None:
    text = "limits:\n  bad: {key: client.ip, count: scan_score, limit: 20, window: 10m}\n"
    scan = "scan: {mode: detect, rulesets: [builtin]}\n"
    policy = load_text("version: 1\ndomain: shop\n" + text + scan)
    assert policy.plan.domains[0].limits[0].by_score
    hits = load_text("version: 1\ndomain: shop\n" + text.replace("scan_score", "hits") + scan)
    assert policy.plan.domains[0].limits[0].identity != hits.plan.domains[0].limits[0].identity
    assert [w.code for w in load_text("version: 1\ndomain: shop\n" + text).warnings] == ["P404"]


def test_a_score_may_cost_hits() -> None:
    text = "limits:\n  dear: {key: client.ip, limit: 20, window: 10m, score_cost: 3}\n"
    scan = "scan: {mode: detect, rulesets: [builtin]}\n"
    (found,) = load_text("version: 1\ndomain: shop\n" + text + scan).plan.domains[0].limits
    assert (found.score_cost, found.by_score) == (3, False)
    (plain,) = load_text("version: 1\ndomain: shop\n" + text.replace(", score_cost: 3", "")).plan.domains[0].limits
    assert found.identity == plain.identity, "an edit keeps the counters"
    assert [w.code for w in load_text("version: 1\ndomain: shop\n" + text).warnings] == ["P404"]
    with pytest.raises(PolicyError) as caught:
        load_text("version: 1\ndomain: shop\n" + text.replace("limit: 20", "limit: 20, count: scan_score") + scan)
    assert [d.code for d in caught.value.diagnostics] == ["P302"]


# ---- the built-in rules


BUILTIN = "version: 1\ndomain: shop\nscan:\n  mode: block\n  rulesets: [builtin]\n"


def test_the_built_in_rules_deny_by_the_threshold_and_status_of_the_policy() -> None:
    (profile,) = load_text(BUILTIN + "  threshold: 8\n  status: 406\n").plan.domains[0].scan.profiles
    deciding = next(link for link in profile.program.links if link.rule == 1009900)
    assert (deciding.argument, deciding.status) == ((b"8",), 406)
    (profile,) = load_text(BUILTIN).plan.domains[0].scan.profiles
    assert next(link for link in profile.program.links if link.rule == 1009900).status == 403


def test_short_rules_and_the_built_in_ones_have_one_score_and_one_decision() -> None:
    rules = "  rules:\n    - {id: mine, pattern: x, targets: args, score: 3}\n"
    (profile,) = load_text(BUILTIN + rules).plan.domains[0].scan.profiles
    mine = next(link for link in profile.program.links if link.name == b"mine")
    assert [change.name for change in mine.sets] == [(b"anomaly_score",)]
    assert [link.rule for link in profile.program.links if link.disruption == Disruption.DENY] == [1009900]


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("disable: [1002011]", "did you mean '1002010'?"),
        ("disable: [1001]", ""),
        ("rule_modes: {1009901: off}", "did you mean '1009900'?"),
        ("exclude: [{tags: attack-sql}]", "did you mean 'attack-sqli'?"),
    ],
)
def test_an_unknown_rule_or_tag_is_told_with_what_is_near(said: str, hint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_text(f"{BUILTIN}  {said}\n")
    assert [(d.code, d.hint) for d in caught.value.diagnostics] == [("P316", hint)]


# ---- the Core Rule Set


def crs(text: str) -> Scan:
    return load_text("version: 1\ndomain: shop\nscan:\n  mode: block\n" + text).plan.domains[0].scan


@needs_v4
def test_the_core_rule_set_loads_at_the_level_that_the_policy_says() -> None:
    sizes = []
    for level in (1, 2, 3, 4):
        (profile,) = crs(f"  rulesets: [{{crs: {V4}}}]\n  paranoia: {level}\n  threshold: 7\n").profiles
        deciding = next(link for link in profile.program.links if link.rule == 949110)
        assert deciding.argument == (b"7",)
        assert deciding.status == 403
        assert profile.program.score == b"blocking_inbound_anomaly_score"
        sizes.append(len(profile.program.links))
    assert sizes == sorted(set(sizes))
    assert crs(f"  rulesets: [{{crs: {V4 / 'rules'}}}]\n") == crs(f"  rulesets: [{{crs: {V4}}}]\n")


@needs_v4
def test_what_is_detected_above_what_counts_runs_and_does_not_count() -> None:
    (one,) = crs(f"  rulesets: [{{crs: {V4}}}]\n").profiles
    (both,) = crs(f"  rulesets: [{{crs: {V4}}}]\n  paranoia: 1\n  detection_paranoia: 2\n").profiles
    assert len(both.program.links) > len(one.program.links)
    added = next(k for k in both.program.links if any(c.name == (b"blocking_inbound_anomaly_score",) for c in k.sets))
    assert b"inbound_anomaly_score_pl2" not in [getattr(p, "name", b"") for c in added.sets for p in c.value]


@needs_v3
def test_debians_rule_set_loads() -> None:
    (profile,) = crs(
        f"  rulesets: [{{crs: {V3}, setup: /etc/modsecurity/crs/crs-setup.conf}}]\n  threshold: 7\n"
    ).profiles
    assert next(link for link in profile.program.links if link.rule == 949110).argument == (b"7",)


@needs_v3
def test_a_setup_that_is_nowhere_is_asked_for() -> None:
    with pytest.raises(PolicyError, match=r"no crs-setup.conf .*name it: setup: FILE"):
        crs(f"  rulesets: [{{crs: {V3}}}]\n")


@needs_v4
def test_the_example_with_the_core_rule_set(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "crs"
    (tmp_path / "crs").symlink_to(V4)
    (tmp_path / "rules").symlink_to(example / "rules")
    (tmp_path / "policy.yaml").write_text((example / "policy.yaml").read_text())
    policy = load_policy(tmp_path / "policy.yaml")
    assert policy.warnings == ()
    scan = policy.plan.domains[0].scan
    assert route(scan, "/admin/x") == (ScanMode.BLOCK, "strict")
    assert route(scan, "/articles/1") == (ScanMode.DETECT, "default~1")
    assert route(scan, "/login") == (ScanMode.BLOCK, "default")
