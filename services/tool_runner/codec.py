"""How the tool-runner's words look on the wire; pure functions, both directions."""

from collections.abc import Sequence

from chatmesh.tool_runner.v1 import tool_runner_pb2 as pb

from services.shared.codec import (
    known,
    refuse_older,
    scope_in,
    scope_out,
    tool_call_in,
    tool_call_out,
    tool_in,
    tool_out,
)
from services.shared.conversation_codec import part_out, parts_in
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.tool_runner.api import Failure, Outcome

_FAILURES: dict["pb.Failure.ValueType", Failure | None] = {
    pb.FAILURE_UNSPECIFIED: None,
    pb.FAILURE_INVALID_ARGUMENTS: Failure.INVALID_ARGUMENTS,
    pb.FAILURE_TIMED_OUT: Failure.TIMED_OUT,
    pb.FAILURE_UNREACHABLE: Failure.UNREACHABLE,
    pb.FAILURE_REFUSED: Failure.REFUSED,
    pb.FAILURE_FAILED: Failure.FAILED,
}
_FAILURES_OUT = {ours: theirs for theirs, ours in _FAILURES.items()}


def list_request_in(request: pb.ListToolsRequest) -> Scope:
    return scope_in(request.scope)


def list_request_out(scope: Scope) -> pb.ListToolsRequest:
    return pb.ListToolsRequest(scope=scope_out(scope))


def tools_in(response: pb.ListToolsResponse) -> Sequence[Tool]:
    return list(map(tool_in, response.tools))


def tools_out(tools: Sequence[Tool]) -> pb.ListToolsResponse:
    return pb.ListToolsResponse(tools=map(tool_out, tools))


def run_request_in(request: pb.RunRequest) -> tuple[Scope, ToolCall]:
    return scope_in(request.scope), tool_call_in(request.call)


def run_request_out(scope: Scope, call: ToolCall) -> pb.RunRequest:
    return pb.RunRequest(scope=scope_out(scope), call=tool_call_out(call))


def outcome_in(response: pb.RunResponse) -> Outcome:
    refuse_older(response)
    return Outcome(parts_in(response.parts), known(_FAILURES, response.failure, "failure"))


def outcome_out(outcome: Outcome) -> pb.RunResponse:
    parts = map(part_out, outcome.parts)
    return pb.RunResponse(parts=parts, failure=_FAILURES_OUT[outcome.failure])
