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

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Clients may ask often whether we are still there.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Two servers never share a port silently.
    ("grpc.so_reuseport", 0),
)


@runtime_checkable
class Servable(Protocol):
    """A gRPC servicer that knows its own name."""

    @property
    def name(self) -> str: ...

    def add_to(self, server: grpc.aio.Server) -> None: ...


@runtime_checkable
class Stoppable(Protocol):
    """An endpoint beside gRPC, such as HTTP, that a service has opened itself."""

    async def stop(self, grace: float) -> None:
        """Accepts nothing more and returns when all that runs has ended.

        What still runs after `grace` seconds is cut off.
        """


@runtime_checkable
class Leaving(Protocol):
    """What wants to be told that the process is about to leave."""

    def leave(self) -> None:
        """Calls are still accepted until the drain is over, but better go elsewhere from now on."""


Served = Servable | Stoppable


class PortTaken(CannotStart):
    """The address is not free."""


@asynccontextmanager
async def serving(
    served: Sequence[Served],
    address: str,
    *,
    grace: float,
    drain: float = 0,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> AsyncIterator[int]:
    """Serves until left; yields the port. A larger message than `max_message_bytes` is refused.

    Leaving: health turns NOT_SERVING and everything served is told. Calls are still accepted for
    `drain` seconds, while clients go elsewhere. Then gRPC and the endpoints beside it accept no
    more, all at once, and each has the whole of `grace` seconds until what runs there is cancelled.
    Raises PortTaken.
    """
    options = (*_OPTIONS, ("grpc.max_receive_message_length", max_message_bytes))
    server = grpc.aio.server(options=options, interceptors=list(interceptors))
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    servicers = [each for each in served if isinstance(each, Servable)]
    names = [servicer.name for servicer in servicers]
    for servicer in servicers:
        servicer.add_to(server)
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
        for each in served:
            if isinstance(each, Leaving):
                each.leave()
        await asyncio.sleep(drain)
        await _stop(server, [each for each in served if isinstance(each, Stoppable)], grace)


async def _stop(server: grpc.aio.Server, beside: Sequence[Stoppable], grace: float) -> None:
    """Stops all at once. One that fails does not shorten the time that the others have."""
    stops = [server.stop(grace), *(each.stop(grace) for each in beside)]
    for outcome in await asyncio.gather(*stops, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        raise PortTaken(f"{address} cannot be listened on; is something else using it?") from None
