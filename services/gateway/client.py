"""How the public gRPC endpoint is reached."""

from collections.abc import AsyncGenerator, Sequence

import grpc
from chatmesh.gateway.v1 import gateway_pb2 as pb
from chatmesh.gateway.v1 import gateway_pb2_grpc as pb_grpc

from services.gateway import codec
from services.gateway.api import Ask, Response, TurnEvent
from services.inference.api import ModelCard
from services.shared.wire_errors import mesh_errors


class GatewayClient:
    """`Session` over gRPC, for callers outside the mesh."""

    def __init__(self, channel: grpc.aio.Channel, api_key: str, *, timeout: float) -> None:
        self._stub = pb_grpc.GatewayServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._timeout = timeout

    async def respond(self, ask: Ask) -> AsyncGenerator[TurnEvent, None]:
        with mesh_errors("gateway"):
            call = self._stub.Respond(codec.ask_out(ask), metadata=self._metadata)
            try:
                async for response in call:
                    yield codec.event_in(response)
            finally:
                call.cancel()

    async def get_response(self, response_id: str) -> Response:
        request = pb.GetResponseRequest(id=response_id)
        with mesh_errors("gateway"):
            answer = await self._stub.GetResponse(
                request, timeout=self._timeout, metadata=self._metadata
            )
        return codec.response_in(answer.response)

    async def delete_response(self, response_id: str) -> None:
        request = pb.DeleteResponseRequest(id=response_id)
        with mesh_errors("gateway"):
            await self._stub.DeleteResponse(request, timeout=self._timeout, metadata=self._metadata)

    async def list_models(self) -> Sequence[ModelCard]:
        with mesh_errors("gateway"):
            answer = await self._stub.ListModels(
                pb.ListModelsRequest(), timeout=self._timeout, metadata=self._metadata
            )
        return [codec.model_in(model) for model in answer.models]
