"""The HTTP application on a socket, and how it leaves."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from services.shared.server import PortTaken


class _Server(uvicorn.Server):
    """Leaves signals to the process that it runs in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving_http(app: ASGIApp, address: str, *, grace: float) -> AsyncIterator[str]:
    """Serves `app` until left; yields the base URL. Running requests get `grace` seconds to end."""
    with _bound(address) as listener:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="httptools",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(grace)),
            timeout_keep_alive=75,
            h11_max_incomplete_event_size=65536,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve([listener]))
        host, port = listener.getsockname()[:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await task


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
