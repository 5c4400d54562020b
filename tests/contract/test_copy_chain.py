"""From one store to the next through all there are, killed on the way, and nothing is another."""

import asyncio
import signal
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from services.__main__ import main
from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.shared.store_url import StoreUrl
from tests.fakes.context_assembly import SCOPE
from tests.fakes.copying import copying_until
from tests.fakes.kept_trees import fill
from tests.fakes.turn_trees import chain, id_of
from tests.servers.cassandra import empty_keyspace
from tests.servers.ferretdb import fresh_documents
from tests.servers.postgres import fresh_database

# Many more than are copied until the test has heard of those that it waits for.
TURNS = 300
# An erased turn keeps its place alone, in whichever store.
TABLES = {
    "turn": "SELECT * FROM turn WHERE NOT erased ORDER BY 1, 2, 3",
    "places": """
        SELECT organisation, project, id, parent_id, root_id, chars, below_erased FROM turn
        WHERE erased ORDER BY 1, 2, 3
    """,
    **{
        table: f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4"
        for table in ("summary", "kept_ids", "fact_read", "erased_fact", "conversation")
    },
    "handled": "SELECT * FROM erasures_handled",
}


def rows(file: Path) -> Mapping[str, Sequence[Any]]:
    with closing(sqlite3.connect(file)) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in TABLES.items()}


def copied(source: str, target: str) -> Result:
    words = ["copy", "conversations", f"--from={source}", f"--to={target}"]
    return CliRunner().invoke(main, words, catch_exceptions=False)


def at(folder: Path, name: str, url: StoreUrl) -> str:
    """As operators give it: a password stands in a file."""
    file = folder / name
    file.write_text(url.get_secret_value())
    return f"file:{file}"


def progress_in(folder: Path) -> str:
    (file,) = folder.glob(".chatmesh/copies/*.json")
    return file.read_text()


async def fill_first(folder: Path) -> str:
    url = f"sqlite:{folder}/first.sqlite"
    async with open_sqlite_turns(url) as turns:
        await fill(turns)
        await chain(turns, *(f"t{number:02}" for number in range(TURNS)))
        await turns.erase(SCOPE, id_of("t40"))
    return url


@pytest.mark.timeout(400)  # three nodes of Cassandra start
async def test_what_went_through_every_store_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = await fill_first(tmp_path)
    async with fresh_database() as postgres:
        servers = [postgres, await empty_keyspace(), await fresh_documents()]
        way = [first, *(at(tmp_path, each.scheme, each) for each in servers)]
        way.append(f"sqlite:{tmp_path}/last.sqlite")
        said: list[str] = []
        for killed, (source, target) in enumerate(pairwise(way)):
            if killed < 2:
                ended, told = await asyncio.to_thread(
                    copying_until, tmp_path, 20, signal.SIGKILL, source=source, target=target
                )
                assert ended == -signal.SIGKILL
                said += [told, progress_in(tmp_path)]
            compared = await asyncio.to_thread(copied, source, target)
            assert compared.exit_code == 0, compared.output
            said.append(compared.output)
    assert rows(tmp_path / "last.sqlite") == rows(tmp_path / "first.sqlite")
    assert len(said) == 8
    passwords = [urlsplit(url.get_secret_value()).password for url in servers]
    assert all(passwords[:2])  # FerretDB asks for none here
    for password in filter(None, passwords):
        assert not [each for each in said if password in each]
