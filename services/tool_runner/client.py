"""How the tool-runner is reached."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from chatmesh.tool_runner.v1 import tool_runner_pb2 as pb
from chatmesh.tool_runner.v1 import tool_runner_pb2_grpc as pb_grpc

from services.shared.channel import MeshChannel, connect
from services.shared.conversation import Text
from services.shared.errors import Unavailable
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.shared.wire_errors import mesh_errors
from services.tool_runner import codec
from services.tool_runner.api import Failure, Outcome

_log = structlog.get_logger()
# The runner's process has ended, or cannot be reached.
_LOST = Outcome(
    (Text("error: the tool's runner was lost: it is not known whether the tool has run"),),
    Failure.UNREACHABLE,
)
SERVICE = pb.DESCRIPTOR.services_by_name["ToolRunnerService"]


class ToolRunnerClient:
    """`ToolRunner` over gRPC."""

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.ToolRunnerServiceStub(channel)
        self._timeout = timeout

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        with mesh_errors("tool-runner"):
            request = codec.list_request_out(scope)
            response = await self._stub.ListTools(request, timeout=self._timeout)
        return codec.tools_in(response)

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        """As `ToolRunner.run`. A call is never sent twice: its tool may have an effect."""
        request = codec.run_request_out(scope, call)
        try:
            with mesh_errors("tool-runner"):
                response = await self._stub.Run(request, timeout=self._timeout)
        except Unavailable as error:
            _log.warning("what became of a tool is not known", tool=call.name, reason=error.message)
            return _LOST
        return codec.outcome_in(response)


@asynccontextmanager
async def connect_tool_runner(address: str, *, timeout: float) -> AsyncIterator[ToolRunnerClient]:
    """`timeout` is in seconds; it must exceed what the slowest tool may take."""
    async with connect(address, SERVICE) as channel:
        yield ToolRunnerClient(channel, timeout=timeout)
