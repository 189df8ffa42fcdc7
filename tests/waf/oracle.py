"""libmodsecurity (PyPI, 3.0.x) in process: the engine that ours is held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import libmodsecurity as native

from .message import Request, Response

GATHER, SAY = 1, 2  # ids of the rules of Variables


class RulesError(ValueError):
    """What libmodsecurity says of rules that it does not load."""


@dataclass(frozen=True)
class Match:
    """One logged rule: its message, the target it names and its logdata, with macros expanded."""

    rule: int
    message: str
    text: str
    data: str


class Oracle:
    """A loaded rule set. It keeps no state between requests but what the rules put into persistent collections."""

    def __init__(self, rules: Iterable[str | Path]) -> None:
        """Loads texts and files in order; a file's `@pmFromFile` is resolved beside it."""
        self.engine = native.ModSecurity()
        # Without a callback each line of the log goes to the standard error.
        self.engine.set_log_callback(lambda _: None)
        self.rules = native.RulesSet()
        for source in rules:
            file = isinstance(source, Path)
            loaded = self.rules.load_from_uri(str(source)) if file else self.rules.load(source)
            if loaded < 0:
                raise RulesError(self.rules.get_parser_error())

    def run(self, request: Request, response: Response | None = None) -> list[native.RuleMessage]:
        """Every logged match, all phases run; the same rule may come more than once."""
        transaction = native.Transaction(self.engine, self.rules)
        transaction.process_connection("127.0.0.1", 40000, "127.0.0.1", 80)
        # The library puts HTTP/ before the version.
        transaction.process_uri(request.uri, request.method, request.version.removeprefix("HTTP/"))
        for name, value in request.headers:
            transaction.add_request_header(name, value)
        transaction.process_request_headers()
        if request.body:
            transaction.append_request_body(request.body)
        transaction.process_request_body()
        if response is not None:
            for name, value in response.headers:
                transaction.add_response_header(name, value)
            transaction.process_response_headers(response.status, response.version)
            if response.body:
                transaction.append_response_body(response.body)
            transaction.process_response_body()
        transaction.process_logging()
        return transaction.get_rule_messages()

    def __call__(self, request: Request, response: Response | None = None) -> frozenset[int]:
        return frozenset(message.rule_id for message in self.run(request, response))

    def matches(self, request: Request, response: Response | None = None) -> list[Match]:
        """The same with texts; one that is no UTF-8 cannot be read through the binding and is empty."""
        return [
            Match(m.rule_id, *(readable(m, field) for field in ("message", "match", "data")))
            for m in self.run(request, response)
        ]


class Variables:
    """What libmodsecurity makes of a message: the content of targets, as SecLang writes them (`ARGS|&FILES|XML:/*`).

    Actions of a rule run for every value that matches, so one rule can gather them all, and another say them.
    """

    def __init__(self, base: str, targets: str, phase: int = 2, transformations: str = "t:none") -> None:
        """`base` are the directives before: body access and processors."""
        gathered = "setvar:'tx.gathered=%{tx.gathered}\x1e%{MATCHED_VAR_NAME}\x1f%{MATCHED_VAR}'"
        self.oracle = Oracle(
            [
                base,
                f'SecRule {targets} "@unconditionalMatch" '
                f'"id:{GATHER},phase:{phase},pass,nolog,{transformations},{gathered}"',
                f'SecRule TX:gathered "@unconditionalMatch" "id:{SAY},phase:{phase},pass,log,t:hexEncode,'
                "msg:'%{MATCHED_VAR}'\"",
            ]
        )

    def __call__(self, request: Request, response: Response | None = None) -> list[tuple[bytes, bytes]]:
        """(name, value) pairs, sorted, for the library keeps no order. A count has its collection's name."""
        said = [m.message for m in self.oracle.matches(request, response) if m.rule == SAY]
        pairs = [pair for text in said for pair in bytes.fromhex(text).split(b"\x1e")[1:]]
        return sorted(pair.partition(b"\x1f")[::2] for pair in pairs)


def readable(message: native.RuleMessage, field: str) -> str:
    try:
        return str(getattr(message, field))
    except UnicodeDecodeError:
        return ""
