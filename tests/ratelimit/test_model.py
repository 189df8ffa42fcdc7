"""Random configurations and calls: served as they are, and converted, they decide as the model does."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ratelimitd._engine import Engine
from ratelimitd.commands.convert import as_yaml
from ratelimitd.policy import load_text
from ratelimitd.policy.imported import Import, import_domains, policy_of, read_import
from ratelimitd.policy.plan import Plan
from tests.model.descriptors import SECONDS, Asked, Limiter
from tests.ratelimit.messages import Response, metadata, request, statuses

KEYS = ["a", "b", "c|d", "e#2", "f%"]
VALUES = ["", "x", "xy", "x*", "x?", "{x}", "x\\y", "yyx", "7"]
PATTERNS = ["x*", "*x", "x*y", "*", "x**y", "*x*"]
NAMES = ["", "", "one", "two", "three"]
START = 1_800_000_000_000_000_000


def a_level(rng: random.Random, depth: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    taken = set()
    for _ in range(rng.randint(1, 5)):
        key = rng.choice(KEYS)
        value = rng.choice(["", rng.choice(VALUES), rng.choice(PATTERNS)]).replace("x*\n", "x")
        if (key, value) in taken:
            continue
        taken.add((key, value))
        node: dict[str, Any] = {"key": key} | ({"value": value} if value else {})
        if rng.random() < 0.75:
            node["rate_limit"] = a_limit(rng)
        for flag in ("shadow_mode", "quota_mode", "share_threshold"):
            if rng.random() < 0.2:
                node[flag] = True
        if rng.random() < 0.3:
            node["metadata"] = {"name": rng.choice(VALUES), "n": {"list": [1.0, True, "x"]}, rng.choice("pq"): "r"}
        if depth < 3 and rng.random() < 0.5:
            node["descriptors"] = a_level(rng, depth + 1)
        made.append(node)
    return made


def a_limit(rng: random.Random) -> dict[str, Any]:
    name = rng.choice(NAMES)
    limit: dict[str, Any] = {"name": name} if name else {}
    others = [other for other in NAMES if other and other != name]
    if rng.random() < 0.2:
        limit["replaces"] = [{"name": rng.choice(others)}]
    if rng.random() < 0.1:
        return limit | {"unlimited": True}
    unit = rng.choice(list(SECONDS))
    return limit | {"unit": rng.choice([unit, unit.upper()]), "requests_per_unit": rng.choice([0, 1, 2, 3, 10])}


def lowered(nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        if "unit" in node.get("rate_limit", {}):
            node["rate_limit"]["unit"] = node["rate_limit"]["unit"].lower()
        lowered(node.get("descriptors", []))


def entries(rng: random.Random, level: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Mostly a way through the tree, with values that one of its nodes may match."""
    found = []
    for _ in range(rng.randint(1, 4)):
        if not level or rng.random() < 0.1:
            found.append((rng.choice(KEYS), rng.choice(VALUES)))
            break
        node = rng.choice(level)
        value = node.get("value", "") if rng.random() < 0.5 else rng.choice(VALUES)
        found.append((node["key"], value.replace("*", rng.choice(["", "y", "xx"]))))
        level = node.get("descriptors", [])
        if rng.random() < 0.4:
            break
    return found


def engine(*plans: Plan) -> Engine:
    made = Engine(sample=0, denials_per_second=0)
    made.swap(plans[0])
    return made


@pytest.mark.parametrize("seed", range(12))
def test_a_configuration_decides_as_the_model(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    shadow = rng.random() < 0.2
    for turn in range(6):
        tree = {"domain": "d", "descriptors": a_level(rng, 0)}
        file = tmp_path / f"{turn}.yaml"
        YAML(typ="safe").dump(tree, file)
        lowered(tree["descriptors"])
        domains, _ = import_domains(Import(file, shadow=shadow))
        served = engine(Plan(tuple(domains), default_domain=False))
        text = as_yaml(policy_of(read_import(Import(file))[0][0]))
        policy = load_text(text)
        assert not policy.warnings
        converted = engine(policy.plan)
        model = Limiter(tree, shadow=shadow)
        now = START + rng.randrange(10**15)
        for _ in range(150):
            now += rng.choice([0, 0, 1_000_000, 700_000_000, 40_000_000_000, 10**14])
            domain = "d" if rng.random() < 0.95 else "unknown"
            asked = [an_asked(rng, tree["descriptors"]) for _ in range(rng.randint(1, 4))]
            hits = rng.choice([0, 0, 1, 2, 5])
            message = request(domain, *asked, hits=hits).SerializeToString()
            answer = Response.FromString(served.rate_limit(message, now_ns=now))
            over, expected, data = model.ask(domain, asked, now / 1e9, hits)
            assert (answer.overall_code == 2, statuses(answer)) == (over, expected), (seed, turn, asked)
            assert metadata(answer) == data
            again = Response.FromString(converted.rate_limit(message, now_ns=now))
            assert statuses(again) == expected
            if not shadow:
                assert again.overall_code == answer.overall_code
            assert list(answer.response_headers_to_add) == []


def an_asked(rng: random.Random, level: list[dict[str, Any]]) -> Asked:
    return Asked(
        entries(rng, level),
        rng.choice([None, None, None, 0, 1, 3]),
        (rng.choice([0, 1, 4]), rng.choice(list(SECONDS))) if rng.random() < 0.1 else None,
        rng.random() < 0.1,
    )
