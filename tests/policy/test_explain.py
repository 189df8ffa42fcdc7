"""The compiled form in words."""

from __future__ import annotations

import json
from pathlib import Path

from ratelimitd.policy import load_policy, load_text
from ratelimitd.policy.explain import explain, explain_data

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def test_a_person_can_read_it() -> None:
    text = explain(load_policy(ROOT / "examples" / "policies" / "shop.yaml").plan)
    for words in (
        "domain shop (default)",
        "client: x-forwarded-for from the right, past 10.0.0.0/8; keys by /32 (IPv4), /64 (IPv6)",
        "limit login: 5 per 30s\n    when: method is POST and path is /secure/v2/login\n",
        "    key: client.ip, header.x-api-key\n",
        "override key partner-42: unlimited",
        "override keys like gold-*: 20000 per 1h",
        "limit media: a bucket of 2000 that fills in 4s, shadow",
        "route block: path is like /secure/**",
        "rule 1002010 (phase 2, score 5): SQL injection: UNION SELECT",
    ):
        assert words in text


def test_every_condition_has_words() -> None:
    text = explain(load_policy(HERE / "good" / "everything.yaml").plan)
    for words in (
        "client.ip is not in 10.0.0.0/8 or fd00::/8",
        "header.x-version begins with 2. (any case) and header.x-version ends with a or b (any case)",
        "header.x-debug is absent",
        "query.id matches [0-9]{1,9} and query.id is not 0",
        "      or: path is like /people/{user}/**",
        "override network 10.0.0.0/8: a bucket of 1000 that fills in 1h",
        "limit everyone: 100000 per 1s\n    when: everything\n    key: one counter for all",
        "limit counted: unlimited",
    ):
        assert words in text


def test_rules_are_listed_where_they_are_few() -> None:
    rules = """
version: 1
domain: d
scan:
  mode: block
  rules:
    - {id: a, pattern: x, targets: args}
    - {id: c, patterns: [z, w], targets: path, action: deny, message: no z}
"""
    text = explain(load_text(rules).plan)
    assert "      rule a (phase 2, score 5)\n      rule c (phase 2, denies): no z\n" in text
    assert "denies with 403; bodies: the first 131072 bytes, cut ones are scanned as far as they came" in text


def test_programs_get_the_same_as_json() -> None:
    data = json.loads(json.dumps(explain_data(load_policy(HERE / "good" / "everything.yaml").plan)))
    assert data["default_domain"] == "everything"
    (domain,) = data["domains"]
    limits = {limit["name"]: limit for limit in domain["limits"]}
    assert limits["fixed"]["algorithm"] == "fixed_window"
    assert (limits["bucket"]["limit"], limits["bucket"]["window_ms"]) == (20, 120_000)
    assert len(limits["bucket"]["identity"]) == 32
    told = domain["scan"]["profiles"][0]["told"]
    assert {rule["id"] for rule in told} >= {"1002010", "100001", "no-php"}
