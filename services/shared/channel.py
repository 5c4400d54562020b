"""How a service is reached: channels whose calls carry the request in hand and its deadline."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from services.shared.background import in_background
from services.shared.deadline import due_in, within
from services.shared.peers import Peer, Peers, followed
from services.shared.signal import Signal
from services.shared.tracing import outgoing
from services.shared.wire_errors import unreached

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # A peer that vanished without a word is noticed within these, in milliseconds.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A restarted peer is found again within a second, not within gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # How long a connection may take to come about, whatever its name says.
    ("grpc.min_reconnect_backoff_ms", 1_000),
)


class _Line:
    """A gRPC channel to some replicas; it is given up when others take their place."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._methods: dict[str, Any] = {}
        self._under_way = 0
        self._unused = asyncio.Event()
        self._unused.set()

    def call(self, method: "_Method", request: tuple[Any, ...], timeout: float | None) -> Any:
        if method.path not in self._methods:
            self._methods[method.path] = method.of(self.channel)
        call = self._methods[method.path](*request, timeout=within(timeout), metadata=outgoing())
        self._under_way += 1
        self._unused.clear()
        call.add_done_callback(self._ended)
        return call

    def _ended(self, _: object) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._unused.set()

    async def retire(self) -> None:
        await self._unused.wait()
        await self.channel.close()


class _Method:
    """One method of a stub, called as part of the request in hand, on the line of the moment."""

    def __init__(
        self,
        owner: "MeshChannel",
        kind: str,
        path: str,
        given: tuple[tuple[Any, ...], dict[str, Any]],
    ) -> None:
        self._owner = owner
        self._kind = kind
        self._given = given
        self.path = path
        self.answers_once = kind == "unary_unary"

    def of(self, channel: grpc.aio.Channel) -> Any:
        positional, named = self._given
        return getattr(channel, self._kind)(self.path, *positional, **named)

    def __call__(self, *request: Any, timeout: float | None = None) -> Any:
        return self._owner.call(self, request, timeout)


class MeshChannel(grpc.aio.Channel):
    """A channel for generated stubs to all replicas of a service that take calls now.

    Adds metadata and the shrinking deadline to every call. Where replicas come and go, new calls go
    to those of the moment; connections that stay are shared by gRPC below. A call with one answer
    waits for a connection before it is sent, as long as the peers' patience lasts; one that may be
    repeated also when it was lost.
    """

    def __init__(self, peers: Peers, service: ServiceDescriptor) -> None:
        self._peers = peers
        self._repeatable = {_path(service, method) for method in _repeatable(service)}
        self._config = json.dumps(_service_config(service))
        self._retired: set[asyncio.Task[None]] = set()
        self._replaced = Signal()
        self.line = self._open()

    def call(self, method: _Method, request: tuple[Any, ...], timeout: float | None) -> Any:
        if self._peers.patience_seconds and method.answers_once:
            return self._called_patiently(method, request, timeout)
        return self.line.call(method, request, timeout)

    async def _called_patiently(
        self, method: _Method, request: tuple[Any, ...], timeout: float | None
    ) -> Any:
        clock = asyncio.get_running_loop().time
        with due_in(timeout):
            due = clock() + self._patience()
            if self.line.channel.get_state() is not grpc.ChannelConnectivity.READY:
                await self._another_or_again(self.line, due)
            while True:
                line = self.line
                try:
                    return await line.call(method, request, None)
                except grpc.aio.AioRpcError as error:
                    repeatable = method.path in self._repeatable and unreached(error)
                    if not repeatable or clock() >= due:
                        raise
                await self._another_or_again(line, due)

    def _patience(self) -> float:
        """Seconds to wait for a connection; what has to answer gets half of a call's time."""
        left = within(None)
        patience = self._peers.patience_seconds
        return patience if left is None else min(patience, left / 2)

    async def _another_or_again(self, line: _Line, due: float) -> None:
        """Returns when `line` has a connection or is no longer that of the moment, or when due."""
        if line is not self.line:
            return
        waiting = (
            asyncio.ensure_future(line.channel.channel_ready()),
            asyncio.ensure_future(self._replaced.wait()),
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)

    def _open(self) -> _Line:
        options = (*_OPTIONS, ("grpc.service_config", self._config))
        return _Line(grpc.aio.insecure_channel(_target(self._peers.known), options))

    async def follow(self) -> None:
        """For ever: changes the line with the replicas."""
        while True:
            await self._peers.changed()
            # When all are gone, those who leave may still answer.
            if self._peers.known:
                before, self.line = self.line, self._open()
                # Before the old one lets go of them: what it is connected to stays connected.
                self.line.channel.get_state(try_to_connect=True)
                self._replaced.notify()
                self._retire(before)

    def _retire(self, line: _Line) -> None:
        task = asyncio.create_task(line.retire())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

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
        for task in self._retired:
            task.cancel()
        await self.line.channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.line.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.line.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.line.channel.channel_ready()


@asynccontextmanager
async def connect(address: str, service: ServiceDescriptor) -> AsyncIterator[MeshChannel]:
    """A channel to `service` at `address`, in any form that `peers.followed` knows.

    It connects when first used and again when lost.
    """
    async with (
        followed(address) as peers,
        MeshChannel(peers, service) as channel,
        in_background(channel.follow),
    ):
        yield channel


def _target(peers: Sequence[Peer]) -> str:
    """One name, which gRPC resolves, or any number of IP addresses."""
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
