"""Moderation over gRPC."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
from chatmesh.moderation.v1 import moderation_pb2 as pb
from chatmesh.moderation.v1 import moderation_pb2_grpc as pb_grpc

from services.moderation import codec
from services.moderation.api import Moderation


class ModerationServer(pb_grpc.ModerationServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["ModerationService"].full_name

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_ModerationServiceServicer_to_server(self, server)

    async def Screen(self, request: pb.ScreenRequest, context: object) -> pb.ScreenResponse:
        return codec.verdicts_out(await self._moderation.screen(*codec.screen_in(request)))

    async def Watch(
        self, requests: AsyncIterator[pb.WatchRequest], context: object
    ) -> AsyncIterator[pb.WatchResponse]:
        reply = (codec.grown_in(request) async for request in requests)
        async with aclosing(self._moderation.watch(reply)) as releases:
            async for release in releases:
                yield codec.release_out(release)
