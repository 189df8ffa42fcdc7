"""Files become a plan, or every reason why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimitd.errors import PolicyError
from ratelimitd.policy import load_policy, load_text
from ratelimitd.policy.plan import OverrideKind

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
GOOD = [
    *sorted((HERE / "good").glob("*.yaml")),
    *sorted((ROOT / "examples" / "policies").glob("*.yaml")),
    ROOT / "ratelimitd" / "starter.yaml",
]


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.name)
def test_a_good_file_compiles_without_a_warning(path: Path) -> None:
    policy = load_policy(path)
    assert policy.plan.domains
    assert policy.warnings == ()


def test_the_design_example_means_what_it_says() -> None:
    (shop,) = load_policy(ROOT / "examples" / "policies" / "shop.yaml").plan.domains
    limits = {limit.name: limit for limit in shop.limits}
    assert list(limits) == [b"per-ip", b"login", b"plan", b"media"]
    assert (limits[b"login"].rate.limit, limits[b"login"].rate.window_ms) == (5, 30_000)
    assert (limits[b"media"].rate.limit, limits[b"media"].rate.window_ms) == (2000, 4000)
    kinds = [(o.kind, o.text, o.rate.limit, o.rate.unlimited) for o in limits[b"plan"].overrides]
    assert kinds == [(OverrideKind.EXACT, b"partner-42", 1000, True), (OverrideKind.GLOB, b"gold-*", 20000, False)]


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(PolicyError) as caught:
        load_text("version: 2\ndomain: a b\nlimits:\n  x: {key: client.ipp, limit: -1, widnow: 1m}\n")
    codes = [(d.code, d.position.line if d.position else 0) for d in caught.value.diagnostics]
    assert codes == [("P204", 1), ("P206", 2), ("P204", 4), ("P205", 4), ("P203", 4)]
