"""Context-assembly, reached over gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb
from chatmesh.context_assembly.v1 import context_assembly_pb2_grpc as pb_grpc

from services.context_assembly import codec
from services.context_assembly.api import Assembly, Context, Turn
from services.shared.channel import MeshChannel, connect
from services.shared.codec import scope_out
from services.shared.scope import Scope
from services.shared.wire_errors import mesh_errors

SERVICE = pb.DESCRIPTOR.services_by_name["ContextAssemblyService"]


class ContextAssemblyClient:
    """`ContextAssembly` over gRPC."""

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.ContextAssemblyServiceStub(channel)
        self._timeout = timeout

    async def assemble(self, assembly: Assembly) -> Context:
        request = codec.assembly_out(assembly)
        with mesh_errors("context-assembly"):
            response = await self._stub.Assemble(request, timeout=self._timeout)
        return codec.context_in(response)

    async def record(self, turn: Turn) -> None:
        request = pb.RecordRequest(turn=codec.turn_out(turn))
        with mesh_errors("context-assembly"):
            await self._stub.Record(request, timeout=self._timeout)

    async def get_turn(self, scope: Scope, turn_id: str) -> Turn:
        request = pb.GetTurnRequest(scope=scope_out(scope), id=turn_id)
        with mesh_errors("context-assembly"):
            response = await self._stub.GetTurn(request, timeout=self._timeout)
        return codec.turn_in(response.turn)

    async def delete_turn(self, scope: Scope, turn_id: str) -> None:
        request = pb.DeleteTurnRequest(scope=scope_out(scope), id=turn_id)
        with mesh_errors("context-assembly"):
            await self._stub.DeleteTurn(request, timeout=self._timeout)


@asynccontextmanager
async def connect_context_assembly(
    address: str, *, timeout: float
) -> AsyncIterator[ContextAssemblyClient]:
    """`timeout` is in seconds; a summary may be written within `assemble`."""
    async with connect(address, SERVICE) as channel:
        yield ContextAssemblyClient(channel, timeout=timeout)
