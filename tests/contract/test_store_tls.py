"""Cassandra and MongoDB over TLS, whose certificates a private authority signed."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from services.context_assembly.adapters.cassandra import open_cassandra_turns
from services.context_assembly.adapters.mongodb import migrate_mongodb_turns, open_mongodb_turns
from services.shared.errors import CannotStart
from services.shared.store_url import StoreUrl
from tests.contract.test_postgres_tls import passed
from tests.fakes.context_assembly import SCOPE
from tests.fakes.turn_trees import id_of, turn
from tests.servers import ferretdb
from tests.servers.authority import Authority
from tests.servers.cassandra import PASSWORD, empty_keyspace, nodes

CLIENTS = "SELECT ssl_enabled, username FROM system_views.clients"
pytestmark = pytest.mark.timeout(400)  # three nodes of Cassandra start


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """The certificate of an authority that has signed nothing here."""
    return Authority(tmp_path / "strangers").certificate


async def of_cassandra(authority: Path) -> StoreUrl:
    url = await empty_keyspace()
    return StoreUrl(f"{url.get_secret_value()}?sslrootcert={authority}")


async def test_nodes_of_cassandra_are_known_by_a_private_authority() -> None:
    url = await of_cassandra(nodes().authority.certificate)
    async with open_cassandra_turns(url, erased_within_seconds=60) as store:
        await store.add(turn("a"))
        assert await store.get(SCOPE, id_of("a")) == turn("a")
        encrypted = {row.ssl_enabled for row in nodes().session.execute(CLIENTS)}
        # What the tests themselves are connected with is not.
        assert encrypted == {True, False}


async def test_nodes_of_cassandra_that_a_stranger_signed_are_refused(strangers: Path) -> None:
    await refused_by_cassandra(await of_cassandra(strangers))


async def test_a_node_of_cassandra_that_has_anothers_name_is_refused() -> None:
    url = await of_cassandra(nodes().authority.certificate)
    first, port = nodes().nodes[0].address, nodes().port
    hosts = ",".join(node.address for node in nodes().nodes)
    async with passing_on(first, port) as elsewhere:
        before, after = f"@{hosts}:{port}/", f"@127.0.0.1:{elsewhere}/"
        await refused_by_cassandra(StoreUrl(url.get_secret_value().replace(before, after)))


async def refused_by_cassandra(url: StoreUrl) -> None:
    with pytest.raises(CannotStart, match="certificate") as refusal:
        async with open_cassandra_turns(url, erased_within_seconds=60):
            pass
    assert PASSWORD not in str(refusal.value)


@asynccontextmanager
async def passing_on(host: str, port: int) -> AsyncIterator[int]:
    """A port of 127.0.0.1, behind which that of another host is."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection(host, port)
        await asyncio.gather(
            passed(reader, behind[1]), passed(behind[0], writer), return_exceptions=True
        )

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


@contextmanager
def unclosed_sockets() -> Iterator[None]:
    """pymongo leaves the sockets of handshakes that failed to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.parametrize(
    ("certified_for", "trusted", "known"),
    [("127.0.0.1", "ours", True), ("127.0.0.1", "strangers", False), ("elsewhere", "ours", False)],
    ids=["known", "signed by a stranger", "with another's name"],
)
async def test_a_server_of_mongodb_is_known_by_a_private_authority(
    tmp_path: Path, certified_for: str, trusted: str, *, known: bool
) -> None:
    authorities = {name: Authority(tmp_path / name) for name in ("ours", "strangers")}
    server = ferretdb.start_server(authorities["ours"].certify(certified_for))
    place = server.url("encrypted").get_secret_value()
    url = StoreUrl(f"{place}?tls=true&tlsCAFile={authorities[trusted].certificate}")
    if not known:
        with unclosed_sockets(), pytest.raises(CannotStart, match="certificate"):
            await migrate_mongodb_turns(url)
        return
    await migrate_mongodb_turns(url)
    async with open_mongodb_turns(url, erased_within_seconds=60) as store:
        await store.add(turn("a"))
        assert await store.get(SCOPE, id_of("a")) == turn("a")
