"""The JSON form against protobuf's own reader and writer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from ratelimitd.client import Request, form, message
from ratelimitd.v1 import ratelimit_pb2 as pb

TEXT = st.text(max_size=20)
REQUESTS = st.builds(
    Request,
    method=TEXT,
    path=TEXT,
    source_address=TEXT,
    host=TEXT,
    scheme=TEXT,
    headers=st.lists(st.tuples(TEXT, st.one_of(TEXT, st.binary(max_size=20))), max_size=4),
    body=st.none() | st.binary(max_size=40),
    partial_body=st.booleans(),
    attributes=st.dictionaries(TEXT, TEXT, max_size=3),
    cost=st.none() | st.integers(0, 2**32 - 1),
    domain=TEXT,
    dry_run=st.booleans(),
    explain=st.booleans(),
)
NUMBERS = st.integers(0, 2**32 - 1)
VERDICTS = st.builds(
    pb.CheckResponse,
    decision=st.integers(0, 2),
    status=NUMBERS,
    reason=st.integers(0, 9),
    decided_by=TEXT,
    limits=st.lists(
        st.builds(
            pb.LimitState,
            name=TEXT,
            limit=st.integers(0, 2**64 - 1),
            remaining=st.integers(0, 2**64 - 1),
            window_ms=NUMBERS,
            reset_after_ms=NUMBERS,
            over=st.booleans(),
            shadow=st.booleans(),
            unlimited=st.booleans(),
        ),
        max_size=3,
    ),
    matches=st.lists(st.builds(pb.RuleMatch, id=TEXT, target=TEXT, score=NUMBERS), max_size=2),
    score=NUMBERS,
    bytes_inspected=st.integers(0, 2**64 - 1),
    inspected_all=st.booleans(),
    headers=st.lists(st.builds(pb.Header, name=TEXT, value=st.binary(max_size=20)), max_size=3),
    reference=TEXT,
    shadow_denied=st.booleans(),
    domain=TEXT,
)


@given(REQUESTS)
def test_a_request_is_the_same_message_in_both_forms(request: Request) -> None:
    assert json_format.Parse(form.encode(request), pb.CheckRequest()) == message.encode(request)


@given(VERDICTS, st.booleans(), st.booleans(), st.booleans())
def test_a_verdict_is_the_same_in_both_forms(said: pb.CheckResponse, full: bool, proto: bool, numbers: bool) -> None:
    text = json_format.MessageToJson(
        said,
        always_print_fields_with_no_presence=full,
        preserving_proto_field_name=proto,
        use_integers_for_enums=numbers,
    )
    assert form.decode(text.encode()) == message.decode(said)


@pytest.mark.parametrize("reason", pb.Reason.values())
@pytest.mark.parametrize("numbers", [False, True])
def test_every_reason_of_the_contract_has_its_name(reason: int, numbers: bool) -> None:
    said = pb.CheckResponse(reason=reason)
    text = json_format.MessageToJson(said, use_integers_for_enums=numbers)
    assert form.decode(text.encode()).reason == message.decode(said).reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '"DECISION_ALLOW"',
        "null",
        '{"status": "many"}',
        '{"status": true}',
        '{"limits": {}}',
        '{"limits": [1]}',
        '{"decidedBy": 1}',
        '{"headers": [{"name": "a", "value": "!"}]}',
        '{"inspectedAll": 1}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_what_is_no_verdict_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        form.decode(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    "answer",
    [{}, {"decision": "allow!"}, {"decision": 0}, {"decision": 7}, {"decision": "DECISION_MAYBE"}, {"decision": "1"}],
)
def test_only_an_allow_allows(answer: dict[str, Any]) -> None:
    assert not form.decode(json.dumps(answer).encode()).allowed


@pytest.mark.parametrize(
    "request_",
    [
        Request(path="/\ud800"),
        Request(headers=[("a", "\ud800")]),
        Request(attributes={"a": 1}),  # type: ignore[dict-item]
        Request(cost=-1),
        Request(cost=2**32),
        Request(method=None),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_request_is_an_error(request_: Request) -> None:
    with pytest.raises((ValueError, TypeError)):
        form.encode(request_)
