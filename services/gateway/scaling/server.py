"""KEDA's `ExternalScaler` over gRPC. It has an endpoint of its own, inside the cluster alone."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from externalscaler import externalscaler_pb2 as keda
from externalscaler import externalscaler_pb2_grpc as keda_grpc

from services.gateway.scaling import codec
from services.gateway.scaling.scaler import Scaler

Context = grpc.aio.ServicerContext[Any, Any]


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
