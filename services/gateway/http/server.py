"""The HTTP application on a socket, and how it leaves."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from services.shared.server import PortTaken

# What requests have to end where nobody has called `stop` before.
_GRACE_SECONDS = 1
_MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_PING_SECONDS = 20.0


class _Server(uvicorn.Server):
    """Leaves signals to the process that it runs in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _WebSocket(WebSocketsSansIOProtocol):
    """Is closed by the application, when what runs on it has ended, and not before."""

    def shutdown(self) -> None:
        if self.close_sent or not self.handshake_complete:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        """Who takes nothing any more is not waited for until all is sent."""
        super().keepalive_timeout()
        self.transport.abort()


class HttpServer:
    """An application that is being served."""

    def __init__(self, server: uvicorn.Server, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self._server = server
        self._serving = asyncio.create_task(server.serve([listener]))

    async def stop(self, grace: float) -> None:
        """Accepts nothing more and returns when all requests have ended.

        Those that still run after `grace` seconds are cancelled.
        """
        # It is declared as whole seconds, and read by `asyncio.wait_for`.
        self._server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]
        self._server.should_exit = True
        await self._serving
        if running := self._server.server_state.tasks:
            await asyncio.wait(running)


@asynccontextmanager
async def serving_http(
    app: ASGIApp,
    address: str,
    *,
    max_message_bytes: int = _MAX_MESSAGE_BYTES,
    ping_seconds: float = _PING_SECONDS,
) -> AsyncIterator[HttpServer]:
    """Serves `app` until left. Raises PortTaken.

    Of WebSockets, `max_message_bytes` is the longest message; every `ping_seconds` they are pinged,
    and cut off when no answer comes within this time.
    """
    with _bound(address) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="httptools",
            ws=_WebSocket,
            ws_max_size=max_message_bytes,
            # Packed messages cost time at both ends, and some clients cannot read uvicorn's.
            ws_per_message_deflate=False,
            # A proxy closes what is silent, and who does not answer has gone.
            ws_ping_interval=ping_seconds,
            ws_ping_timeout=ping_seconds,
            server_header=False,
            timeout_keep_alive=75,
            h11_max_incomplete_event_size=65536,
        )
        server = HttpServer(_Server(config), listener)
        try:
            yield server
        finally:
            await server.stop(_GRACE_SECONDS)


@contextmanager
def _bound(address: str) -> Iterator[socket.socket]:
    host, _, port = address.rpartition(":")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
        listener.listen(2048)  # who comes before the server is up waits
    except OSError as error:
        listener.close()
        raise PortTaken(f"{address} cannot be listened on: {error.strerror}") from None
    with listener:
        yield listener
