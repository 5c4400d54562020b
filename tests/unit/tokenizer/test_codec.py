"""Nothing is lost on the wire."""

import pytest
from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb

from services.shared.conversation import Role
from services.shared.errors import Malformed
from services.shared.tools import Tool, ToolCall
from services.tokenizer import codec
from services.tokenizer.api import Candidate, FitRequest, Fitted, TemplateMessage

CALL = ToolCall("call_1", "f", '{"a": 1}')
FULL = FitRequest(
    model="m",
    candidates=[
        Candidate(TemplateMessage(Role.SYSTEM, "be kind")),
        Candidate(TemplateMessage(Role.ASSISTANT, "", "hm", (CALL,)), 3),
        Candidate(TemplateMessage(Role.TOOL, "42", tool_call_id="call_1"), 3),
        Candidate(TemplateMessage(Role.USER, "this?", pictures=(0, 4, 4, 5))),
    ],
    tools=[Tool("f", "does f", "{}", strict=True)],
    max_tokens=4096,
    drop_step_tokens=512,
    left_out=TemplateMessage(Role.SYSTEM),
    template_options={"enable_thinking": "false"},
)


def test_a_request_survives() -> None:
    assert codec.fit_request_in(codec.fit_request_out(FULL)) == FULL


def test_what_is_left_open_stays_open() -> None:
    request = FitRequest("m", [], [], 1, 0, template_options={})
    assert codec.fit_request_in(codec.fit_request_out(request)) == request


def test_a_response_survives() -> None:
    read = codec.fit_response_in(codec.fit_response_out(Fitted([0, 7, 2**31], 9)))
    assert (list(read.ids), read.dropped_through_unit) == ([0, 7, 2**31], 9)


def test_a_role_that_is_not_known_here_is_malformed() -> None:
    with pytest.raises(Malformed) as caught:
        codec.message_in(pb.TemplateMessage(text="hi"))
    assert caught.value.details == {"param": "role"}
