"""How a service is offered on gRPC, with health and reflection, and how it leaves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from services.shared.errors import CannotStart

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # Clients may ask often whether we are still there.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Two servers never share a port silently.
    ("grpc.so_reuseport", 0),
)


class Servable(Protocol):
    """A gRPC servicer that knows its own name."""

    @property
    def name(self) -> str: ...

    def add_to(self, server: grpc.aio.Server) -> None: ...


@runtime_checkable
class Leaving(Protocol):
    """A servicer that wants to know that it is about to leave."""

    def leave(self) -> None:
        """Calls still come until the drain is over; say that they had better go elsewhere."""


class PortTaken(CannotStart):
    """The address is not free."""


@asynccontextmanager
async def serving(
    servers: Sequence[Servable],
    address: str,
    *,
    grace: float,
    drain: float = 0,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> AsyncIterator[int]:
    """Serves until left; yields the port.

    Leaving: health turns NOT_SERVING and servicers are told, calls are still accepted for `drain`
    seconds while clients go elsewhere, then no more; running calls have `grace` seconds to end
    before they are cancelled.
    """
    server = grpc.aio.server(options=_OPTIONS, interceptors=list(interceptors))
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = [servable.name for servable in servers]
    for servable in servers:
        servable.add_to(server)
    listed = [*names, reflection.SERVICE_NAME, HEALTH.services_by_name["Health"].full_name]
    reflection.enable_server_reflection(listed, server)
    port = _bind(server, address)
    await server.start()
    for name in ("", *names):
        await health.set(name, HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        await health.enter_graceful_shutdown()
        for servable in servers:
            if isinstance(servable, Leaving):
                servable.leave()
        await asyncio.sleep(drain)
        await server.stop(grace)


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        raise PortTaken(f"{address} cannot be listened on; is something else using it?") from None
