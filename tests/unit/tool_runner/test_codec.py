import pytest
from chatmesh.tool_runner.v1 import tool_runner_pb2 as pb

from services.shared.conversation import Picture, Text
from services.shared.errors import Malformed, OlderRelease
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.tool_runner import codec
from services.tool_runner.api import Failure, Outcome

SCOPE = Scope("acme", "main", "ann")


@pytest.mark.parametrize("failure", [None, *Failure])
def test_every_outcome_survives_the_wire(failure: Failure | None) -> None:
    parts = (Text("said"), Picture("image/png", b"\x00png"), Text("more"))
    outcome = Outcome(parts, failure)
    assert codec.outcome_in(codec.outcome_out(outcome)) == outcome


def test_a_call_survives_the_wire() -> None:
    call = ToolCall("call_1", "clock", '{"a": "\u0000é"}')
    assert codec.run_request_in(codec.run_request_out(SCOPE, call)) == (SCOPE, call)


def test_tools_survive_the_wire() -> None:
    tools = [Tool("clock", "Tell.", "{}"), Tool("weather", "", '{"type": "object"}', strict=True)]
    assert codec.tools_in(codec.tools_out(tools)) == tools
    assert codec.list_request_in(codec.list_request_out(SCOPE)) == SCOPE


def test_a_newer_failure_is_malformed() -> None:
    response = pb.RunResponse(failure=99)  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        codec.outcome_in(response)


def test_a_scope_without_an_organisation_is_malformed() -> None:
    with pytest.raises(Malformed):
        codec.run_request_in(pb.RunRequest())
    with pytest.raises(Malformed):
        codec.list_request_in(pb.ListToolsRequest())


def test_an_outcome_of_release_0_1_0_is_refused() -> None:
    # Its field 1, the output: "42".
    response = pb.RunResponse.FromString(b"\x0a\x0242")
    with pytest.raises(OlderRelease):
        codec.outcome_in(response)
