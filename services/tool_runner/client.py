"""How the tool-runner is reached."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chatmesh.tool_runner.v1 import tool_runner_pb2 as pb
from chatmesh.tool_runner.v1 import tool_runner_pb2_grpc as pb_grpc

from services.shared.channel import MeshChannel, connect
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.shared.wire_errors import mesh_errors
from services.tool_runner import codec
from services.tool_runner.api import Outcome

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
        with mesh_errors("tool-runner"):
            request = codec.run_request_out(scope, call)
            response = await self._stub.Run(request, timeout=self._timeout)
        return codec.outcome_in(response)


@asynccontextmanager
async def connect_tool_runner(address: str, *, timeout: float) -> AsyncIterator[ToolRunnerClient]:
    """`timeout` is in seconds; it must exceed what the slowest tool may take."""
    async with connect(address, SERVICE) as channel:
        yield ToolRunnerClient(channel, timeout=timeout)
