"""docs/operations.md is in step with the settings and the metrics; the systemd example with the flags."""

from __future__ import annotations

import re
from pathlib import Path

from ratelimitd.settings import flag, flags, variable

from .test_metrics import Counted, registry

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def shown(value: object) -> str:
    text = (
        ", ".join(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else str(value)
    )
    return f"`{text}`" if text else ""


def settings_rows() -> list[str]:
    return [f"| `{flag(f.name)}` | `{variable(f.name)}` | {shown(f.default)} | {f.metadata['help']} |" for f in flags()]


def metric_rows() -> list[str]:
    rows = []
    for family in registry(Counted()).collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = sorted({name for s in family.samples for name in s.labels if name != "le"})
        rows.append(f"| `{family.name}{suffix}` | {', '.join(labels)} | {family.documentation} |")
    return rows


def rows_under(heading: str) -> list[str]:
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_every_setting_is_documented() -> None:
    assert rows_under("Settings") == settings_rows()


def test_every_metric_is_documented() -> None:
    assert rows_under("Metrics") == metric_rows()


def test_the_systemd_example_uses_known_flags() -> None:
    unit = (ROOT / "examples" / "systemd" / "ratelimitd.service").read_text(encoding="utf-8")
    assert set(re.findall(r" (--[a-z-]+) (?=\S*/|\S*:)", unit.partition("ExecStart=")[2])) <= {
        flag(f.name) for f in flags()
    }
    assert set(re.findall(r"RATELIMITD_\w+", unit)) <= {variable(f.name) for f in flags()}


def test_what_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
