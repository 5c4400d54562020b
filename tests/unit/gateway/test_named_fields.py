"""Fields by the words of the public gRPC contract."""

import pytest

from services.gateway.api import Failed, InvalidRequest, NoSuchConversation, Numbered, TextDelta
from services.gateway.named_fields import named, with_named
from services.shared.errors import Malformed

RESPOND, ADD = {"input", "functions"}, {"items", "conversation_id"}


@pytest.mark.parametrize(
    ("param", "fields", "theirs"),
    [
        ("conversation", RESPOND, "conversation_id"),
        ("max_tokens", RESPOND, "max_output_tokens"),
        ("tools", RESPOND, "functions"),
        ("tool_choice", RESPOND, "function_choice"),
        ("pictures", RESPOND, "input"),
        ("input[2]", RESPOND, "input[2]"),
        ("input[2].role", ADD, "items[2].role"),
        ("input", ADD, "items"),
        ("temperature", ADD, "temperature"),
    ],
)
def test_a_field_has_its_name(param: str, fields: set[str], theirs: str) -> None:
    error = named(InvalidRequest("is wrong", param=param, code="c"), fields)
    assert (type(error), error.message) == (InvalidRequest, "is wrong")
    assert error.details == {"param": theirs, "code": "c"}


def test_what_names_no_field_stays() -> None:
    error = Malformed("is wrong")
    assert named(error, RESPOND) is error


def test_of_events_only_a_failure_names_a_field() -> None:
    failed = Failed.with_error(NoSuchConversation("is not there", param="conversation"))
    event = with_named(Numbered(3, failed)).event
    assert isinstance(event, Failed)
    assert event.details == {"param": "conversation_id"}
    other = Numbered(4, TextDelta(0, "msg_1", "hello"))
    assert with_named(other) is other
