"""Messages of the gRPC contract, as plain values; the contract suite sends each wrong value."""

from typing import Any

import pytest

from services.gateway.message_fields import checked, has_rules
from services.shared.errors import Malformed

RESPOND: dict[str, Any] = {
    "functions": [],
    "stop": [],
    "safety_identifier": "",
    "input": [],
    "idempotency_key": "",
}


def test_only_what_could_be_wrong_has_rules() -> None:
    assert has_rules("RespondRequest")
    assert not has_rules("GetResponseRequest")


def test_what_is_not_set_is_not_wrong() -> None:
    assert checked("RespondRequest", RESPOND)


def test_kinds_that_are_not_known_are_left_to_whoever_reads_them() -> None:
    items = [{}, {"kind": "new"}, {"kind": "message", "role": 4, "parts": [{"kind": "new"}]}]
    assert checked("RespondRequest", {**RESPOND, "input": items})


@pytest.mark.parametrize("text", ["", "{}", '{"type": "object"}'])
def test_a_schema_is_json(text: str) -> None:
    assert checked("RespondRequest", {**RESPOND, "json_schema": text})


@pytest.mark.parametrize("text", ["x", "[]", "5", "null", "{" * 20_000, '{"a": NaN'])
def test_what_no_schema_can_be(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        checked("RespondRequest", {**RESPOND, "json_schema": text})
    assert caught.value.details == {"param": "json_schema", "code": "invalid_value"}


def test_a_function_that_takes_a_text_has_no_schema() -> None:
    function = {"name": "f", "parameters": "x", "text_input": {}}
    assert checked("RespondRequest", {**RESPOND, "functions": [function]})


def test_the_outcome_of_a_call_is_looked_at() -> None:
    call = {"kind": "call", "outcome": {"parts": [{"kind": "picture", "url": "ftp://x"}]}}
    with pytest.raises(Malformed) as caught:
        checked("RespondRequest", {**RESPOND, "input": [call]})
    assert caught.value.details["param"] == "input[0].outcome.parts[0].url"
