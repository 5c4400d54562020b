"""PostgreSQL over TLS, whose certificate a private authority signed.

The server of the package was built without TLS. What is tested is this side of it: libpq talks real
TLS with an end that speaks PostgreSQL's way into it, and which passes the rest on to the server.
"""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.gateway.adapters.postgres import open_postgres_accounts
from services.shared.errors import CannotStart
from services.shared.store_url import StoreUrl
from tests.servers.certificates import certificates
from tests.servers.postgres import fresh_database, server

SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


class TlsEnd:
    """Refuses who asks for no TLS, and counts who got it."""

    def __init__(self, certified: Path) -> None:
        self.encrypted = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certified / "server.crt", certified / "server.key")

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            if await reader.readexactly(8) != SSL_REQUEST:
                return
            writer.write(b"S")
            await writer.start_tls(self._context)
            self.encrypted += 1
            behind = await asyncio.open_connection("127.0.0.1", server().port)
            await asyncio.gather(passed(reader, behind[1]), passed(behind[0], writer))
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def passed(reader: StreamReader, writer: StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("strangers"))


@asynccontextmanager
async def behind_tls(certified: Path) -> AsyncIterator[tuple[TlsEnd, str]]:
    """The end, and the URL of a database behind it."""
    end = TlsEnd(certified)
    async with fresh_database() as url:
        listening = await asyncio.start_server(end.connected, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        try:
            there = f"127.0.0.1:{server().port}"
            yield end, url.get_secret_value().replace(there, f"localhost:{port}")
        finally:
            listening.close()
            await listening.wait_closed()


async def test_a_server_is_known_by_a_private_authority(ours: Path) -> None:
    async with behind_tls(ours) as (end, url):
        trusting = StoreUrl(f"{url}?sslmode=verify-full&sslrootcert={ours}/server.crt")
        async with open_postgres_accounts(trusting) as accounts:
            assert await accounts.find_key("key1") is None
        assert end.encrypted > 0


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_server_that_a_stranger_signed_is_refused(
    ours: Path, strangers: Path, mode: str
) -> None:
    async with behind_tls(strangers) as (_, url):
        trusting = StoreUrl(f"{url}?sslmode={mode}&sslrootcert={ours}/server.crt")
        with pytest.raises(CannotStart, match="do not trust each other's certificates"):
            async with open_postgres_accounts(trusting):
                pass
