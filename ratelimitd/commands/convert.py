"""`ratelimitd convert`: the configuration of envoyproxy/ratelimit as policies of ours."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ratelimitd.commands.output import console, print_diagnostics
from ratelimitd.errors import PolicyError
from ratelimitd.policy.imported import Import, policy_of, read_import
from ratelimitd.summary import plural


def as_yaml(policy: dict[str, Any]) -> str:
    """A policy file."""
    writer = YAML()
    writer.width = 1 << 20
    writer.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    writer.dump(policy, out)
    return "# yaml-language-server: $schema=policy.schema.json\n" + out.getvalue()


def file_name(domain: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", domain).strip("-") or "domain"


def run(path: Path, *, output: Path | None, headers: bool, merge: bool) -> int:
    try:
        trees, _ = read_import(Import(path, merge=merge))
    except PolicyError as error:
        print_diagnostics(error.diagnostics)
        return 1
    policies = [policy_of(tree) | ({"headers": "draft-03"} if headers else {}) for tree in trees]
    if output is None and len(policies) != 1:
        print(f"{plural(len(policies), 'domain')}: name a directory for the files with --output DIR", file=sys.stderr)
        return 1
    if output is None:
        sys.stdout.write(as_yaml(policies[0]))
        return 0
    output.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for policy in policies:
        name = file_name(policy["domain"])
        while name in taken:
            name += "-2"
        taken.add(name)
        (output / f"{name}.yaml").write_text(as_yaml(policy))
        console(stderr=True).print(f"{output / name}.yaml: {plural(len(policy['limits']), 'limit')}", markup=False)
    return 0
