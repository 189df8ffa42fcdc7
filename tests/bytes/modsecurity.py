"""libmodsecurity in process, as the truth that readers are compared with: every value of chosen variables."""

from __future__ import annotations

import pytest

libmodsecurity = pytest.importorskip("libmodsecurity", reason="there is no wheel for this platform")

# Stands between values in a dump; no generator of ours writes it.
MARK = b"|~Q7~|"

Values = list[tuple[bytes, bytes]]


class ModSecurity:
    """An engine that tells the values of variables at phase 2.

    A rule for each variable appends the hexadecimal value and the name of every target to one of TX; a second one logs
    it. (Rule messages alone tell the last target only.)
    """

    def __init__(self, variables: list[str], directives: str = "", control: str = "") -> None:
        self.variables = variables
        rules = ["SecRuleEngine On", "SecRequestBodyAccess On", directives]
        if control:
            rules.append(f'SecAction "id:99999,phase:1,pass,nolog,{control}"')
        for i, variable in enumerate(variables):
            dump = f"tx.d{i}=%{{tx.d{i}}}%{{MATCHED_VAR}}:%{{MATCHED_VAR_NAME}}{MARK.decode()}"
            rules.append(
                f'SecRule {variable} "@unconditionalMatch" '
                f"\"id:{i + 1},phase:2,pass,nolog,t:hexEncode,setvar:'{dump}'\""
            )
        for i in range(len(variables)):
            rules.append(
                f'SecRule TX:d{i} "@unconditionalMatch" '
                f"\"id:{i + 5001},phase:2,pass,log,t:hexEncode,logdata:'%{{MATCHED_VAR}}'\""
            )
        self.engine = libmodsecurity.ModSecurity()
        self.engine.set_log_callback(lambda line: None)
        self.rules = libmodsecurity.RulesSet()
        assert self.rules.load("\n".join(rules)) >= 0, self.rules.get_parser_error()

    def __call__(
        self,
        target: bytes = b"/",
        headers: Values | None = None,
        body: bytes = b"",
        method: bytes = b"POST",
    ) -> dict[str, Values]:
        """The names (behind the colon) and values of each variable. Names are in no order but that of equal ones."""
        transaction = libmodsecurity.Transaction(self.engine, self.rules)
        transaction.process_connection("192.0.2.1", 1, "192.0.2.2", 80)
        # The binding takes bytes for its C strings.
        transaction.process_uri(target, method, b"1.1")
        for name, value in headers or []:
            transaction.add_request_header(name, value)
        transaction.process_request_headers()
        transaction.append_request_body(body)
        transaction.process_request_body()
        found: dict[str, Values] = {variable: [] for variable in self.variables}
        for message in transaction.get_rule_messages():
            if message.rule_id < 5001:
                continue
            for item in bytes.fromhex(message.data).split(MARK)[:-1]:
                value, _, name = item.partition(b":")
                key = name.partition(b":")[2]
                found[self.variables[message.rule_id - 5001]].append((key, bytes.fromhex(value.decode())))
        return found


def single(values: Values) -> bytes:
    """The value of a variable that is no collection."""
    assert len(values) == 1
    return values[0][1]
