"""`ratelimitd schema`: the JSON Schema of a policy file."""

from __future__ import annotations

from ratelimitd.commands.output import print_json
from ratelimitd.policy.schema import json_schema


def run() -> int:
    print_json(json_schema())
    return 0
