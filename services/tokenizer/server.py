"""The tokenizer on gRPC."""

import grpc
from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb
from chatmesh.tokenizer.v1 import tokenizer_pb2_grpc as pb_grpc

from services.tokenizer import codec
from services.tokenizer.api import Tokenizer


class TokenizerServer(pb_grpc.TokenizerServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["TokenizerService"].full_name

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_TokenizerServiceServicer_to_server(self, server)

    async def Fit(self, request: pb.FitRequest, context: object) -> pb.FitResponse:
        return codec.fit_response_out(await self._tokenizer.fit(codec.fit_request_in(request)))

    async def Encode(self, request: pb.EncodeRequest, context: object) -> pb.EncodeResponse:
        return pb.EncodeResponse(ids=await self._tokenizer.encode(request.model, request.text))

    async def Decode(self, request: pb.DecodeRequest, context: object) -> pb.DecodeResponse:
        return pb.DecodeResponse(text=await self._tokenizer.decode(request.model, request.ids))
