"""How inference is reached."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chatmesh.inference.v1 import inference_pb2 as pb
from chatmesh.inference.v1 import inference_pb2_grpc as pb_grpc

from services.inference import codec
from services.inference.api import Calling, Generation, Parsed, Piece, Report
from services.shared.channel import MeshChannel, connect
from services.shared.wire_errors import mesh_errors

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]


class InferenceClient:
    """`Inference` over gRPC.

    `timeout` bounds a whole generation, in seconds; watching the load has no end.
    """

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.InferenceServiceStub(channel)
        self._timeout = timeout

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        with mesh_errors("inference"):
            call = self._stub.Generate(codec.generation_out(generation), timeout=self._timeout)
            try:
                async for response in call:
                    yield codec.piece_in(response)
            finally:
                call.cancel()

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed:
        request = codec.parse_out(model, prompt_ids, output_ids, calling, stop)
        with mesh_errors("inference"):
            return codec.parsed_in(await self._stub.Parse(request, timeout=self._timeout))

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        with mesh_errors("inference"):
            call = self._stub.WatchLoad(pb.WatchLoadRequest())
            try:
                async for response in call:
                    yield codec.report_in(response)
            finally:
                call.cancel()


@asynccontextmanager
async def connect_inference(address: str, *, timeout: float) -> AsyncIterator[InferenceClient]:
    async with connect(address, SERVICE) as channel:
        yield InferenceClient(channel, timeout=timeout)
