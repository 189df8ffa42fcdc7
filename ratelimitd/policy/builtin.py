"""The rules that come with us: package data in the policy's own rule format."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from ratelimitd.errors import PolicyError
from ratelimitd.policy.nodes import compose
from ratelimitd.policy.schema import RuleFile, RuleSpec
from ratelimitd.policy.shape import shape


@cache
def builtin_rules() -> tuple[RuleSpec, ...]:
    """The `builtin` rule set. Its patterns are checked by our tests, not at every start."""
    resource = files("ratelimitd") / "rules" / "builtin.yaml"
    result = shape(compose(resource.read_text(encoding="utf-8"), "ratelimitd/rules/builtin.yaml"), RuleFile)
    if isinstance(result, list):
        raise PolicyError(result)
    return tuple(result.rules)
