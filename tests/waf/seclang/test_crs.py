"""The Core Rule Sets, as they are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimitd.waf.seclang import load, parse
from ratelimitd.waf.seclang.render import render
from ratelimitd.waf.seclang.tree import Configuration, Marker, Rule, UpdateTarget
from tests.waf.rulesets import V3_PATHS, V4, V4_PATHS, needs_v3, needs_v4


def links(configuration: Configuration) -> Iterator[Rule]:
    for rule in configuration.rules():
        link: Rule | None = rule
        while link is not None:
            yield link
            link = link.chained


@needs_v4
def test_version_4_is_read_whole() -> None:
    """The counts are those of the files: nothing is skipped."""
    configuration = load([V4 / "rules"])
    rules = list(links(configuration))
    operators = Counter(rule.operator.name for rule in rules if rule.operator)
    transformations = Counter(name for rule in rules for name in rule.transformations)
    assert sum(operators.values()) == 695
    assert sum(rule.operator is None for rule in rules) == 7
    assert sum(isinstance(d, UpdateTarget) for d in configuration.directives) == 55
    assert [operators[name] for name in ("rx", "lt", "eq", "ge", "pmfromfile", "gt", "pm", "streq", "within")] == [
        318, 190, 53, 42, 21, 15, 12, 9, 9,
    ]  # fmt: skip
    assert transformations["urlDecodeUni"] == 140
    assert transformations["lowercase"] == 46
    assert Counter(rule.phase for rule in rules if rule.operator) == {1: 213, 2: 319, 3: 44, 4: 108, 5: 11}
    assert sum(a.name == "setvar" for rule in rules for a in rule.actions) == count(V4 / "rules", "setvar:")
    assert sum(a.name == "chain" for rule in rules for a in rule.actions) == 73
    assert sum(isinstance(d, Marker) for d in configuration.directives) == count(V4 / "rules", "SecMarker")


def count(directory: Path, word: str) -> int:
    """How often a word stands in the rules, comments left out."""
    lines = (line for file in directory.glob("*.conf") for line in file.read_text().splitlines())
    return sum(line.count(word) for line in lines if not line.startswith("#"))


@needs_v3
def test_version_3_is_read_whole() -> None:
    """Through Debian's own file, with Include and IncludeOptional."""
    configuration = load(V3_PATHS)
    rules = list(links(configuration))
    assert sum(rule.operator is not None for rule in rules) == count(V3_PATHS[0].parent / "rules", "SecRule ")
    assert {Path(file.path).name for file in configuration.files} >= {"crs-setup.conf", "scanners-user-agents.data"}


@needs_v4
@needs_v3
@pytest.mark.parametrize("paths", [V4_PATHS, V3_PATHS], ids=["v4", "v3"])
def test_a_rule_rendered_is_the_same_rule(paths: tuple[Path, ...]) -> None:
    """All but SecDefaultAction's part and the positions."""
    for directive in load(paths).directives:
        text = render(directive)
        file = directive.position.file
        again = parse(text.encode(), file).directives
        assert [render(d) for d in again] == [text]
        if isinstance(directive, Rule) and directive.operator:
            assert isinstance(again[0], Rule)
            assert again[0].operator is not None
            assert again[0].operator.argument == directive.operator.argument
            assert again[0].operator.phrases == directive.operator.phrases
            assert again[0].selectors == directive.selectors
            assert again[0].transformations == directive.transformations


@needs_v4
def test_libmodsecurity_reads_what_we_render(tmp_path: Path) -> None:
    """The same number of directives, so the text is SecLang and not only ours."""
    native = pytest.importorskip("libmodsecurity")
    for data in (V4 / "rules").glob("*.data"):
        (tmp_path / data.name).symlink_to(data)
    (tmp_path / "all.conf").write_text("\n\n".join(map(render, load(V4_PATHS).directives)) + "\n")
    rules, original = native.RulesSet(), native.RulesSet()
    expected = sum(
        original.load_from_uri(str(p)) for f in V4_PATHS for p in ([f] if f.is_file() else sorted(f.glob("*.conf")))
    )
    assert rules.load_from_uri(str(tmp_path / "all.conf")) == expected


@needs_v4
def test_it_is_fast() -> None:
    """All of version 4 in 1.5 s; it takes a quarter of that, and a busy machine is no failure."""
    took = []
    for _ in range(3):
        begun = time.process_time()
        load(V4_PATHS)
        took.append(time.process_time() - begun)
    assert min(took) < 1.5
