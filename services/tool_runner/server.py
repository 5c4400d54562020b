"""The tool-runner over gRPC."""

import grpc
from chatmesh.tool_runner.v1 import tool_runner_pb2 as pb
from chatmesh.tool_runner.v1 import tool_runner_pb2_grpc as pb_grpc

from services.tool_runner import codec
from services.tool_runner.api import ToolRunner


class ToolRunnerServer(pb_grpc.ToolRunnerServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["ToolRunnerService"].full_name

    def __init__(self, tool_runner: ToolRunner) -> None:
        self._tool_runner = tool_runner

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_ToolRunnerServiceServicer_to_server(self, server)

    async def ListTools(
        self, request: pb.ListToolsRequest, context: object
    ) -> pb.ListToolsResponse:
        return codec.tools_out(await self._tool_runner.list_tools(codec.list_request_in(request)))

    async def Run(self, request: pb.RunRequest, context: object) -> pb.RunResponse:
        return codec.outcome_out(await self._tool_runner.run(*codec.run_request_in(request)))
