"""Memory over gRPC."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import grpc
from chatmesh.memory.v1 import memory_pb2 as pb
from chatmesh.memory.v1 import memory_pb2_grpc as pb_grpc

from services.memory import codec
from services.memory.api import Memory
from services.shared.codec import scope_in


class MemoryServer(pb_grpc.MemoryServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["MemoryService"].full_name

    def __init__(self, memory: Memory, end_watches: Callable[[], None] = lambda: None) -> None:
        self._memory = memory
        self._end_watches = end_watches

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_MemoryServiceServicer_to_server(self, server)

    def leave(self) -> None:
        """Called when the service stops: watches never end by themselves and would hold it up."""
        self._end_watches()

    async def Remember(self, request: pb.RememberRequest, context: object) -> pb.RememberResponse:
        return codec.remembered_out(await self._memory.remember(*codec.remember_in(request)))

    async def Update(self, request: pb.UpdateRequest, context: object) -> pb.UpdateResponse:
        return codec.updated_out(await self._memory.update(*codec.update_in(request)))

    async def Forget(self, request: pb.ForgetRequest, context: object) -> pb.ForgetResponse:
        scope = scope_in(request.scope)
        forgotten = await self._memory.forget(scope, fact_id=request.id, query=request.query)
        return codec.forgotten_out(forgotten)

    async def List(self, request: pb.ListRequest, context: object) -> pb.ListResponse:
        return codec.listed_out(await self._memory.list_facts(scope_in(request.scope)))

    async def Search(self, request: pb.SearchRequest, context: object) -> pb.SearchResponse:
        return codec.matches_out(await self._memory.search(*codec.search_in(request)))

    async def Recall(self, request: pb.RecallRequest, context: object) -> pb.RecallResponse:
        scope = scope_in(request.scope)
        recollection = await self._memory.recall(scope, query=request.query, fact_ids=request.ids)
        return codec.recollection_out(recollection)

    async def Erase(self, request: pb.EraseRequest, context: object) -> pb.EraseResponse:
        return pb.EraseResponse(erased=await self._memory.erase(scope_in(request.scope)))

    async def WatchErased(
        self, request: pb.WatchErasedRequest, context: object
    ) -> AsyncIterator[pb.WatchErasedResponse]:
        after = codec.watch_erased_in(request)
        async with aclosing(self._memory.watch_erased(after)) as erasures:
            async for erasure in erasures:
                yield codec.erasure_out(erasure)
