import pytest
from chatmesh.tool_runner.v1 import tool_runner_pb2 as pb

from services.shared.chat import Scope, Tool, ToolCall
from services.shared.errors import Malformed
from services.tool_runner import codec
from services.tool_runner.api import Failure, Outcome

SCOPE = Scope("acme", "ann")


@pytest.mark.parametrize("failure", [None, *Failure])
def test_every_outcome_survives_the_wire(failure: Failure | None) -> None:
    outcome = Outcome("said", failure)
    assert codec.outcome_in(codec.outcome_out(outcome)) == outcome


def test_a_call_survives_the_wire() -> None:
    call = ToolCall("call_1", "clock", '{"a": "\u0000é"}')
    assert codec.run_request_in(codec.run_request_out(SCOPE, call)) == (SCOPE, call)


def test_tools_survive_the_wire() -> None:
    tools = [Tool("clock", "Tell.", "{}"), Tool("weather", "", '{"type": "object"}', strict=True)]
    assert codec.tools_in(codec.tools_out(tools)) == tools
    assert codec.list_request_in(codec.list_request_out(SCOPE)) == SCOPE


def test_a_newer_failure_is_malformed() -> None:
    response = pb.RunResponse(output="said", failure=99)  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        codec.outcome_in(response)


def test_a_scope_without_a_tenant_is_malformed() -> None:
    with pytest.raises(Malformed):
        codec.run_request_in(pb.RunRequest())
    with pytest.raises(Malformed):
        codec.list_request_in(pb.ListToolsRequest())
