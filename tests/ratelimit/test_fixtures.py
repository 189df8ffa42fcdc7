"""The fixtures of envoyproxy/ratelimit: accepted or refused as there, and told better."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ratelimitd.commands.convert import as_yaml
from ratelimitd.errors import PolicyError
from ratelimitd.policy import load_text
from ratelimitd.policy.imported import Import, import_domains, policy_of, read_import

SHARED = Path(os.environ.get("RATELIMITD_SHARED", "../shared")) / "envoy-ratelimit"
FIXTURES = SHARED / "config"
GOOD = ["basic_config", "merge_domain_key1", "merge_domain_key2", "metadata", "shadowmode_config", "share_threshold"]
GOOD += ["wildcard"]
BAD = {  # fixture -> code, line, column, what the message says
    "bad_limit_unit": ("P204", 6, 13, "unknown unit 'foo'"),
    "bad_yaml": ("P101", 2, 1, ""),
    "duplicate_key": ("P501", 6, 5, "stands twice"),
    "empty_domain": ("P201", 1, 1, "missing key 'domain'"),
    "empty_key": ("P201", 3, 5, "without a key"),
    "misspelled_key": ("P203", 5, 5, "did you mean 'rate_limit'?"),
    "misspelled_key2": ("P203", 7, 7, "did you mean 'requests_per_unit'?"),
    "non_map_list": ("P202", 3, 5, "expected a descriptor"),
    "non_string_key": ("P203", 1, 1, "unknown key '0.25'"),
    "replaces_empty": ("P503", 10, 15, "without a name"),
    "replaces_self": ("P503", 10, 21, "replaces itself"),
    "unlimited_with_unit": ("P302", 6, 7, "exclude each other"),
}

shared = pytest.mark.skipif(not FIXTURES.is_dir(), reason="RATELIMITD_SHARED has no envoy-ratelimit/config")


def test_all_twenty_are_labelled() -> None:
    if not FIXTURES.is_dir():
        pytest.skip("RATELIMITD_SHARED has no envoy-ratelimit/config")
    assert sorted(path.stem for path in FIXTURES.iterdir()) == sorted([*GOOD, *BAD, "duplicate_domain"])


@shared
@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_is_served_as_what_it_converts_to(name: str) -> None:
    wanted = Import(FIXTURES / f"{name}.yaml")
    domains, _ = import_domains(wanted)
    policy = load_text(as_yaml(policy_of(read_import(wanted)[0][0])))
    assert (domains[0],) == policy.plan.domains
    assert not policy.warnings


@shared
@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused_where_it_is_wrong(name: str) -> None:
    code, line, column, text = BAD[name]
    with pytest.raises(PolicyError) as refused:
        import_domains(Import(FIXTURES / f"{name}.yaml"))
    first = refused.value.diagnostics[0]
    assert first.position is not None
    assert (first.code, first.position.line, first.position.column) == (code, line, column)
    assert text in str(first)


def directory(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / f"{name}.yaml").write_bytes((FIXTURES / f"{name}.yaml").read_bytes())
    return tmp_path


@shared
def test_a_domain_in_two_files_is_refused_unless_they_are_merged(tmp_path: Path) -> None:
    found = directory(tmp_path, "basic_config", "duplicate_domain")
    with pytest.raises(PolicyError, match=r"duplicate_domain.yaml:1:9: error\[P301\]: domain 'test-domain'"):
        import_domains(Import(found))
    import_domains(Import(found, merge=True))


@shared
def test_merged_files_are_one_domain(tmp_path: Path) -> None:
    found = directory(tmp_path, "merge_domain_key1", "merge_domain_key2")
    (domain,), _ = import_domains(Import(found, merge=True))
    assert [limit.name for limit in domain.limits] == [b"key1_value1", b"key2_value2"]
    (tmp_path / "more.yaml").write_bytes((FIXTURES / "merge_domain_key1.yaml").read_bytes())
    with pytest.raises(PolicyError, match=r"more.yaml:5:5: error\[P501\]"):
        import_domains(Import(found, merge=True))


@shared
@pytest.mark.parametrize("name", ["config", "example"])
def test_the_examples_are_good(name: str) -> None:
    assert import_domains(Import(SHARED / "examples" / f"{name}.yaml"))[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("domain: d\ndescriptors: [{key: a, rate_limit: {unit: decade, requests_per_unit: 1}}]", "P204"),
        ("domain: d\ndescriptors: [{key: a, rate_limit: {requests_per_unit: 1}}]", "P201"),
        ("domain: d\ndescriptors: [{key: a, rate_limit: {unit: day, requests_per_unit: -1}}]", "P205"),
        ("domain: d\ndescriptors: [{key: a, rate_limit: {unit: day, requests_per_unit: 1.5}}]", "P202"),
        ("domain: d\ndescriptors: [{key: a, shadow_mode: perhaps}]", "P202"),
        ("domain: d\ndescriptors: [{key: [a]}]", "P202"),
        ("domain: d\ndescriptors: {key: a}", "P202"),
        ("domain: d e\n", "P206"),
        ("- a\n", "P102"),
        ("", "P102"),
        ("domain: d\ndescriptors: [{key: a, metadata: [1]}]", "P202"),
        (f"domain: d\ndescriptors: [{{key: a, metadata: {{a: {'x' * 20000}}}}}]", "P205"),
        (f"domain: d\ndescriptors: [{{key: {'x' * 300}}}]", "P205"),
    ],
)
def test_what_we_cannot_count_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(PolicyError) as refused:
        import_domains(Import(tmp_path))
    assert said in [diagnostic.code for diagnostic in refused.value.diagnostics]


def test_nine_values_that_vary_are_too_many(tmp_path: Path) -> None:
    text = "rate_limit: {unit: day, requests_per_unit: 1}"
    for index in range(9):
        text = f"descriptors: [{{key: k{index}, {text}}}]"
    (tmp_path / "a.yaml").write_text("domain: d\n" + text)
    with pytest.raises(PolicyError, match="P502"):
        import_domains(Import(tmp_path))


def test_numbers_are_text_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("domain: d\ndescriptors:\n- {key: 1.10, value: 007}\n- key: true\n  value: 0x1F\n")
    (tree,), _ = read_import(Import(tmp_path))
    assert [(node.key, node.value) for node in tree.children] == [("1.10", "007"), ("true", "0x1F")]
