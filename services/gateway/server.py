"""The public gRPC endpoint: key in, session called, wire out. And KEDA's, elsewhere."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from chatmesh.gateway.v1 import gateway_pb2 as pb
from chatmesh.gateway.v1 import gateway_pb2_grpc as pb_grpc
from externalscaler import externalscaler_pb2 as keda
from externalscaler import externalscaler_pb2_grpc as keda_grpc

from services.gateway import codec
from services.gateway.front import Front, KeySession
from services.gateway.keys import bearer
from services.gateway.scaler import Scaler

Context = grpc.aio.ServicerContext[Any, Any]


class GatewayServer(pb_grpc.GatewayServiceServicer):
    name = pb.DESCRIPTOR.services_by_name["GatewayService"].full_name

    def __init__(self, front: Front) -> None:
        self._front = front

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_GatewayServiceServicer_to_server(self, server)

    def leave(self) -> None:
        self._front.leave()

    async def Respond(
        self, request: pb.RespondRequest, context: Context
    ) -> AsyncGenerator[pb.RespondResponse, None]:
        session = await self._session(context)
        number = 0
        async with aclosing(session.respond(codec.ask_in(request))) as events:
            async for event in events:
                if response := codec.event_out(event, number):
                    number += 1
                    yield response

    async def GetResponse(
        self, request: pb.GetResponseRequest, context: Context
    ) -> pb.GetResponseResponse:
        session = await self._session(context)
        response = await session.get_response(request.id)
        return pb.GetResponseResponse(response=codec.response_out(response))

    async def DeleteResponse(
        self, request: pb.DeleteResponseRequest, context: Context
    ) -> pb.DeleteResponseResponse:
        session = await self._session(context)
        await session.delete_response(request.id)
        return pb.DeleteResponseResponse()

    async def ListModels(
        self,
        request: pb.ListModelsRequest,
        context: Context,
    ) -> pb.ListModelsResponse:
        session = await self._session(context)
        return pb.ListModelsResponse(models=map(codec.model_out, await session.list_models()))

    async def _session(self, context: Context) -> KeySession:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        return await self._front.session(bearer(metadata.get("authorization", "")))


class ExternalScalerServer(keda_grpc.ExternalScalerServicer):
    name = keda.DESCRIPTOR.services_by_name["ExternalScaler"].full_name

    def __init__(self, scaler: Scaler) -> None:
        self._scaler = scaler

    def add_to(self, server: grpc.aio.Server) -> None:
        keda_grpc.add_ExternalScalerServicer_to_server(self, server)

    async def IsActive(
        self, request: keda.ScaledObjectRef, context: Context
    ) -> keda.IsActiveResponse:
        return keda.IsActiveResponse(result=self._scaler.active(request.scalerMetadata))

    async def StreamIsActive(
        self, request: keda.ScaledObjectRef, context: Context
    ) -> AsyncGenerator[keda.IsActiveResponse, None]:
        async with aclosing(self._scaler.activity(request.scalerMetadata)) as changes:
            async for active in changes:
                yield keda.IsActiveResponse(result=active)

    async def GetMetricSpec(
        self, request: keda.ScaledObjectRef, context: Context
    ) -> keda.GetMetricSpecResponse:
        return codec.targets_out(self._scaler.targets(request.scalerMetadata))

    async def GetMetrics(
        self, request: keda.GetMetricsRequest, context: Context
    ) -> keda.GetMetricsResponse:
        trigger = request.scaledObjectRef.scalerMetadata
        return codec.metrics_out(self._scaler.metrics(trigger), request.metricName)
