"""Inference over gRPC."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import grpc
from chatmesh.inference.v1 import inference_pb2 as pb
from chatmesh.inference.v1 import inference_pb2_grpc as pb_grpc

from services.inference import codec
from services.inference.api import Inference


class InferenceServer(pb_grpc.InferenceServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["InferenceService"].full_name

    def __init__(self, inference: Inference, drain: Callable[[], None] = lambda: None) -> None:
        self._inference = inference
        self._drain = drain

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_InferenceServiceServicer_to_server(self, server)

    def leave(self) -> None:
        """Told when the service is told to stop, while calls are still accepted."""
        self._drain()

    async def Generate(
        self, request: pb.GenerateRequest, context: object
    ) -> AsyncIterator[pb.GenerateResponse]:
        async with aclosing(self._inference.generate(codec.generation_in(request))) as pieces:
            async for piece in pieces:
                yield codec.piece_out(piece)

    async def Parse(self, request: pb.ParseRequest, context: object) -> pb.ParseResponse:
        return codec.parsed_out(await self._inference.parse(*codec.parse_in(request)))

    async def WatchLoad(
        self, request: pb.WatchLoadRequest, context: object
    ) -> AsyncIterator[pb.WatchLoadResponse]:
        async with aclosing(self._inference.watch_load()) as reports:
            async for report in reports:
                yield codec.report_out(report)
