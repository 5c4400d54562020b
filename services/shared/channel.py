"""How a service is reached: channels whose calls carry their request's ids and deadline."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.shared.background import end, in_background
from services.shared.deadline import due_in, within
from services.shared.peers import Peer, Peers, followed
from services.shared.signal import Signal
from services.shared.tracing import outgoing
from services.shared.wire_errors import unreached

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # All times are in milliseconds. A machine that dies closes no connection: these two say how
    # often a replica is asked for a sign of life, and how long it has to give one.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A restarted replica is found again within a second. gRPC's own default is two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # How long one attempt to connect may take. gRPC's name for it says something else.
    ("grpc.min_reconnect_backoff_ms", 1_000),
)


class _CountedChannel:
    """A gRPC channel to a fixed list of replicas. It counts its running calls.

    When the list changes, `MeshChannel` opens another one and closes this one after its last call.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._methods: dict[str, Any] = {}
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def call(self, method: "_Method", request: tuple[Any, ...], timeout: float | None) -> Any:
        if method.path not in self._methods:
            self._methods[method.path] = method.on(self.channel)
        call = self._methods[method.path](*request, timeout=within(timeout), metadata=outgoing())
        self._running += 1
        self._idle.clear()
        call.add_done_callback(self._ended)
        return call

    def _ended(self, _: object) -> None:
        self._running -= 1
        if not self._running:
            self._idle.set()

    async def close_when_idle(self) -> None:
        """Closes after the last call; at once when cancelled."""
        try:
            await self._idle.wait()
        finally:
            await self.channel.close()


class _Method:
    """What a generated stub calls for one of its methods. `MeshChannel` picks the gRPC channel."""

    def __init__(
        self,
        owner: "MeshChannel",
        kind: str,
        path: str,
        serializers: tuple[tuple[Any, ...], dict[str, Any]],
    ) -> None:
        self._owner = owner
        self._kind = kind
        self._serializers = serializers
        self.path = path
        self.answers_once = kind == "unary_unary"

    def on(self, channel: grpc.aio.Channel) -> Any:
        positional, named = self._serializers
        return getattr(channel, self._kind)(self.path, *positional, **named)

    def __call__(self, *request: Any, timeout: float | None = None) -> Any:
        return self._owner.call(self, request, timeout)


class MeshChannel(grpc.aio.Channel):
    """A channel for generated stubs, to all replicas of a service that take calls now.

    Every call carries its request's metadata and what is left of its deadline. When replicas come
    and go, `current` becomes a gRPC channel to the new list of them; gRPC itself keeps the
    connections to those that stay.

    A call with one answer is not sent before there is a connection, and waits for one as long as
    the peers' patience allows. If the method may be repeated, it is also sent again, within the
    same time, when the connection broke before an answer came.
    """

    def __init__(self, peers: Peers, service: ServiceDescriptor) -> None:
        self._peers = peers
        self._repeatable = {_path(service, method) for method in _repeatable(service)}
        self._config = json.dumps(_service_config(service))
        self._closing: set[asyncio.Task[None]] = set()
        self._replaced = Signal()
        self.current = self._open()

    def call(self, method: _Method, request: tuple[Any, ...], timeout: float | None) -> Any:
        if self._peers.patience_seconds and method.answers_once:
            return self._call_patiently(method, request, timeout)
        return self.current.call(method, request, timeout)

    async def _call_patiently(
        self, method: _Method, request: tuple[Any, ...], timeout: float | None
    ) -> Any:
        clock = asyncio.get_running_loop().time
        with due_in(timeout):
            due = clock() + self._patience()
            if self.current.channel.get_state() is not grpc.ChannelConnectivity.READY:
                await self._connected_or_replaced(self.current, due)
            while True:
                used = self.current
                try:
                    return await used.call(method, request, None)
                except grpc.aio.AioRpcError as error:
                    repeatable = method.path in self._repeatable and unreached(error)
                    if not repeatable or clock() >= due:
                        raise
                await self._connected_or_replaced(used, due)

    def _patience(self) -> float:
        """How many seconds a call may wait for a connection.

        At most half of the call's own time, so that the other half is left for the answer.
        """
        left = within(None)
        patience = self._peers.patience_seconds
        return patience if left is None else min(patience, left / 2)

    async def connected(self, seconds: float) -> None:
        """Returns when there is a connection to a replica of the moment, or after so long."""
        clock = asyncio.get_running_loop().time
        due = clock() + seconds
        ready = grpc.ChannelConnectivity.READY
        while clock() < due and self.get_state(try_to_connect=True) is not ready:
            await self._connected_or_replaced(self.current, due)

    async def _connected_or_replaced(self, used: _CountedChannel, due: float) -> None:
        """Returns when `used` is connected, when another channel has replaced it, or at `due`."""
        if used is not self.current:
            return
        waiting = (
            asyncio.ensure_future(used.channel.channel_ready()),
            asyncio.ensure_future(self._replaced.wait()),
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*waiting)

    def _open(self) -> _CountedChannel:
        options = (*_OPTIONS, ("grpc.service_config", self._config))
        return _CountedChannel(grpc.aio.insecure_channel(_target(self._peers.known), options))

    async def follow(self) -> None:
        """Never returns: opens another channel whenever the list of replicas changes."""
        while True:
            await self._peers.changed()
            # Where no replica is left, the old ones are kept: while they leave, they still answer.
            if self._peers.known:
                before, self.current = self.current, self._open()
                # Connecting now, while the old channel is still open, lets gRPC use its connections
                # to replicas that stay.
                self.current.channel.get_state(try_to_connect=True)
                self._replaced.notify()
                self._close_when_idle(before)

    def _close_when_idle(self, before: _CountedChannel) -> None:
        task = asyncio.create_task(before.close_when_idle())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_unary", method, (args, kwargs))

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_stream", method, (args, kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_unary", method, (args, kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_stream", method, (args, kwargs))

    async def __aenter__(self) -> "MeshChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await end(*self._closing)
        await self.current.channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.current.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.current.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.current.channel.channel_ready()


@asynccontextmanager
async def connect(address: str, service: ServiceDescriptor) -> AsyncIterator[MeshChannel]:
    """A channel to `service` at `address`, in any form that `peers.followed` knows.

    It connects at its first call, and again whenever the connection is lost.
    """
    async with (
        followed(address) as peers,
        MeshChannel(peers, service) as channel,
        in_background(channel.follow),
    ):
        yield channel


def _target(peers: Sequence[Peer]) -> str:
    """Where gRPC shall connect: one name, which it resolves, or any number of IP addresses."""
    if len(peers) == 1:
        return peers[0].address
    family = "ipv6" if peers[0].address.startswith("[") else "ipv4"
    return f"{family}:{','.join(peer.address for peer in peers)}"


def _repeatable(service: ServiceDescriptor) -> list[str]:
    """The methods that the proto declares idempotent."""
    return [
        method.name
        for method in service.methods
        if method.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
    ]


def _path(service: ServiceDescriptor, method: str) -> str:
    return f"/{service.full_name}/{method}"


def _service_config(service: ServiceDescriptor) -> dict[str, object]:
    """Spreads calls over all addresses and retries those that may be repeated."""
    safe = [{"service": service.full_name, "method": method} for method in _repeatable(service)]
    retry = {
        # So many attempts last longer than a restarted replica takes to be connected to again.
        "maxAttempts": 5,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": safe, "retryPolicy": retry}] if safe else [],
        # A replica in trouble is not made worse by retries: when many calls fail, they stop.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
    }
