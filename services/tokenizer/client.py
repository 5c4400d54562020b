"""The tokenizer, reached over gRPC."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb
from chatmesh.tokenizer.v1 import tokenizer_pb2_grpc as pb_grpc

from services.shared.channel import MeshChannel, connect
from services.shared.wire_errors import mesh_errors
from services.tokenizer import codec
from services.tokenizer.api import FitRequest, Fitted

SERVICE = pb.DESCRIPTOR.services_by_name["TokenizerService"]


class TokenizerClient:
    """`Tokenizer` over gRPC."""

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.TokenizerServiceStub(channel)
        self._timeout = timeout

    async def fit(self, request: FitRequest) -> Fitted:
        with mesh_errors("tokenizer"):
            response = await self._stub.Fit(codec.fit_request_out(request), timeout=self._timeout)
        return codec.fit_response_in(response)

    async def encode(self, model: str, text: str) -> Sequence[int]:
        request = pb.EncodeRequest(model=model, text=text)
        with mesh_errors("tokenizer"):
            response = await self._stub.Encode(request, timeout=self._timeout)
        return response.ids

    async def decode(self, model: str, ids: Sequence[int]) -> str:
        request = pb.DecodeRequest(model=model, ids=ids)
        with mesh_errors("tokenizer"):
            response = await self._stub.Decode(request, timeout=self._timeout)
        return response.text


@asynccontextmanager
async def connect_tokenizer(address: str, *, timeout: float) -> AsyncIterator[TokenizerClient]:
    async with connect(address, SERVICE) as channel:
        yield TokenizerClient(channel, timeout=timeout)
