"""Context-assembly on gRPC."""

import grpc
from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb
from chatmesh.context_assembly.v1 import context_assembly_pb2_grpc as pb_grpc

from services.context_assembly import codec
from services.context_assembly.api import ContextAssembly


class ContextAssemblyServer(pb_grpc.ContextAssemblyServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["ContextAssemblyService"].full_name

    def __init__(self, context_assembly: ContextAssembly) -> None:
        self._context_assembly = context_assembly

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_ContextAssemblyServiceServicer_to_server(self, server)

    async def Assemble(self, request: pb.AssembleRequest, context: object) -> pb.AssembleResponse:
        assembly = codec.assembly_in(request)
        return codec.context_out(await self._context_assembly.assemble(assembly))

    async def Record(self, request: pb.RecordRequest, context: object) -> pb.RecordResponse:
        await self._context_assembly.record(codec.turn_in(request.turn))
        return pb.RecordResponse()

    async def GetTurn(self, request: pb.GetTurnRequest, context: object) -> pb.GetTurnResponse:
        turn = await self._context_assembly.get_turn(*codec.get_request_in(request))
        return pb.GetTurnResponse(turn=codec.turn_out(turn))

    async def DeleteTurn(
        self, request: pb.DeleteTurnRequest, context: object
    ) -> pb.DeleteTurnResponse:
        await self._context_assembly.delete_turn(*codec.delete_request_in(request))
        return pb.DeleteTurnResponse()
