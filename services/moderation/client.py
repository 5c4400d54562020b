"""Moderation, reached over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chatmesh.moderation.v1 import moderation_pb2 as pb
from chatmesh.moderation.v1 import moderation_pb2_grpc as pb_grpc

from services.moderation import codec
from services.moderation.api import Direction, Grown, Release, Verdict
from services.shared.channel import MeshChannel, connect
from services.shared.wire_errors import mesh_errors

SERVICE = pb.DESCRIPTOR.services_by_name["ModerationService"]


class ModerationClient:
    """`Moderation` over gRPC."""

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.ModerationServiceStub(channel)
        self._timeout = timeout

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        with mesh_errors("moderation"):
            request = codec.screen_out(texts, direction)
            response = await self._stub.Screen(request, timeout=self._timeout)
        return codec.verdicts_in(response)

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        requests = (codec.grown_out(grown) async for grown in reply)
        with mesh_errors("moderation"):
            # No timeout: the watch lasts as long as the reply, which has a deadline of its own.
            call = self._stub.Watch(requests)
            try:
                async for response in call:
                    yield codec.release_in(response)
            finally:
                call.cancel()


@asynccontextmanager
async def connect_moderation(address: str, *, timeout: float) -> AsyncIterator[ModerationClient]:
    async with connect(address, SERVICE) as channel:
        yield ModerationClient(channel, timeout=timeout)
