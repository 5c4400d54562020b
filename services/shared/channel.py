"""How a service is reached: channels whose calls carry the request in hand and its deadline."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.shared.deadline import within
from services.shared.tracing import outgoing

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # A peer that vanished without a word is noticed within these, in milliseconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A restarted peer is found again within a second, not within gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class _Call:
    """One method of a stub, called as part of the request in hand."""

    def __init__(self, method: Any) -> None:
        self._method = method

    def __call__(self, *request: Any, timeout: float | None = None) -> Any:
        return self._method(*request, timeout=within(timeout), metadata=outgoing())


class MeshChannel(grpc.aio.Channel):
    """A channel for generated stubs: adds metadata and the shrinking deadline to every call."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Call(self._channel.stream_stream(*args, **kwargs))

    async def __aenter__(self) -> "MeshChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()


@asynccontextmanager
async def connect(address: str, service: ServiceDescriptor) -> AsyncIterator[MeshChannel]:
    """A channel to `service` at `address`; connects when first used and again when lost."""
    options = (*_OPTIONS, ("grpc.service_config", json.dumps(_service_config(service))))
    async with MeshChannel(grpc.aio.insecure_channel(address, options)) as channel:
        yield channel


def _service_config(service: ServiceDescriptor) -> dict[str, object]:
    """Spreads calls over all addresses and retries those that the proto declares idempotent."""
    safe = [
        {"service": service.full_name, "method": method.name}
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    ]
    retry = {
        # As many as outlast the time after which a restarted peer is connected to again.
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": safe, "retryPolicy": retry}] if safe else [],
        # A peer in trouble is not buried under retries.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
    }
