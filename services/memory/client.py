"""How memory is reached."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chatmesh.memory.v1 import memory_pb2 as pb
from chatmesh.memory.v1 import memory_pb2_grpc as pb_grpc

from services.memory import codec
from services.memory.api import Erasure, Fact, Kind, Match, Recollection, Remembered
from services.shared.channel import MeshChannel, connect
from services.shared.codec import scope_out
from services.shared.scope import Scope
from services.shared.wire_errors import mesh_errors

SERVICE = pb.DESCRIPTOR.services_by_name["MemoryService"]


class MemoryClient:
    """`Memory` over gRPC. `timeout` bounds every call, in seconds, except for `watch_erased`."""

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.MemoryServiceStub(channel)
        self._timeout = timeout

    async def remember(self, scope: Scope, text: str, kind: Kind | None = None) -> Remembered:
        with mesh_errors("memory"):
            request = codec.remember_out(scope, text, kind)
            response = await self._stub.Remember(request, timeout=self._timeout)
        return codec.remembered_in(response)

    async def update(self, scope: Scope, fact_id: str, text: str) -> Fact:
        with mesh_errors("memory"):
            request = codec.update_out(scope, fact_id, text)
            response = await self._stub.Update(request, timeout=self._timeout)
        return codec.fact_in(response.fact)

    async def forget(self, scope: Scope, *, fact_id: str = "", query: str = "") -> Sequence[Fact]:
        with mesh_errors("memory"):
            request = codec.forget_out(scope, fact_id, query)
            response = await self._stub.Forget(request, timeout=self._timeout)
        return codec.facts_in(response.forgotten)

    async def list_facts(self, scope: Scope) -> Sequence[Fact]:
        with mesh_errors("memory"):
            request = pb.ListRequest(scope=scope_out(scope))
            response = await self._stub.List(request, timeout=self._timeout)
        return codec.facts_in(response.facts)

    async def search(self, scope: Scope, query: str, limit: int) -> Sequence[Match]:
        with mesh_errors("memory"):
            request = codec.search_out(scope, query, limit)
            response = await self._stub.Search(request, timeout=self._timeout)
        return codec.matches_in(response)

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        with mesh_errors("memory"):
            request = codec.recall_out(scope, query, fact_ids)
            response = await self._stub.Recall(request, timeout=self._timeout)
        return codec.recollection_in(response)

    async def erase(self, scope: Scope) -> int:
        with mesh_errors("memory"):
            request = pb.EraseRequest(scope=scope_out(scope))
            response = await self._stub.Erase(request, timeout=self._timeout)
        return response.erased

    async def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
        with mesh_errors("memory"):
            call = self._stub.WatchErased(pb.WatchErasedRequest(after=after))
            try:
                async for response in call:
                    yield codec.erasure_in(response)
            finally:
                call.cancel()


@asynccontextmanager
async def connect_memory(address: str, *, timeout: float) -> AsyncIterator[MemoryClient]:
    async with connect(address, SERVICE) as channel:
        yield MemoryClient(channel, timeout=timeout)
