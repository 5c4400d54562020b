"""`chatmesh backup` and `restore` as they are typed."""

import asyncio
import os
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.__main__ import main
from services.context_assembly import ports as turns
from services.context_assembly.adapters.sqlite import SqliteTurns, open_sqlite_turns
from services.gateway.adapters.sqlite import open_sqlite_accounts
from services.local.run_file import RunFile, RunningMesh
from services.memory.adapters.sqlite import open_fact_store
from tests.fakes.context_assembly import SCOPE
from tests.fakes.kept_trees import fill
from tests.fakes.moving import contents, fill_accounts, fill_facts
from tests.fakes.turn_trees import id_of, turn

DATABASES = ("context-assembly.sqlite", "memory.sqlite", "gateway.sqlite")


def typed(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, words)], catch_exceptions=False)


def opened(folder: Path) -> AbstractAsyncContextManager[SqliteTurns]:
    return open_sqlite_turns(f"sqlite:{folder}/context-assembly.sqlite")


def bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What `make up` has left."""
    folder = tmp_path / "data"

    async def filled() -> None:
        async with opened(folder) as conversations:
            await fill(conversations)
        async with open_fact_store(f"sqlite:{folder}/memory.sqlite") as facts:
            await fill_facts(facts)
        async with open_sqlite_accounts(f"sqlite:{folder}/gateway.sqlite") as accounts:
            await fill_accounts(accounts)

    asyncio.run(filled())
    (folder / "pepper").write_bytes(b"\0secret")
    return folder


def held(folder: Path) -> Mapping[str, Any]:
    async def read() -> Mapping[str, Any]:
        async with opened(folder) as conversations:
            return await contents(conversations, turns.RECORD_KINDS)

    return asyncio.run(read())


def test_what_was_backed_up_is_restored(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "mesh.backup"
    done = typed("backup", file, f"--data={data}")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("wrote conversations, facts, accounts, pepper to ")
    assert file.stat().st_mode & 0o777 == 0o600
    elsewhere = tmp_path / "elsewhere"
    assert typed("restore", file, f"--data={elsewhere}").exit_code == 0
    assert held(elsewhere) == held(data)
    assert {path.name for path in elsewhere.iterdir()} == {*DATABASES, "pepper"}
    assert (elsewhere / "pepper").read_bytes() == b"\0secret"
    assert (elsewhere / "pepper").stat().st_mode & 0o777 == 0o600
    listed = typed("key", "list", f"--data={elsewhere}").output
    assert "key1" in listed


def test_a_backup_is_taken_while_a_service_writes(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mesh.backup"
    before = held(data)
    with asyncio.Runner() as runner:
        serving = opened(data)
        store = runner.run(serving.__aenter__())
        with closing(sqlite3.connect(data / DATABASES[0], isolation_level=None)) as writing:
            writing.execute("BEGIN IMMEDIATE")
            writing.execute("DELETE FROM turn")
            assert typed("backup", file, f"--data={data}").exit_code == 0
            writing.execute("ROLLBACK")
        assert runner.run(store.add(turn("q", "a")))
        runner.run(serving.__aexit__(None, None, None))
    elsewhere = tmp_path / "elsewhere"
    assert typed("restore", file, f"--data={elsewhere}").exit_code == 0
    assert held(elsewhere) == before != held(data)


def test_bytes_of_what_was_erased_are_in_no_backup(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mesh.backup"

    async def erased() -> None:
        # The bytes stay in the log until the file is written anew, which is long after the backup.
        async with opened(data) as store:
            await store.add(turn("q", "a", answered="canary"))
            await store.erase(SCOPE, id_of("q"))
            assert b"canary" in bytes_in(data)
            taken = await asyncio.to_thread(typed, "backup", file, f"--data={data}")
            assert taken.exit_code == 0

    asyncio.run(erased())
    assert b"answer a" in file.read_bytes()
    assert b"canary" not in file.read_bytes()


def test_one_store_is_backed_up_and_restored_alone(data: Path, tmp_path: Path) -> None:
    file, copy = tmp_path / "facts.backup", tmp_path / "copy.sqlite"
    where = ("--only=facts", f"--url=sqlite:{data}/memory.sqlite")
    assert typed("backup", file, *where).exit_code == 0
    assert typed("restore", file, "--only=facts", f"--url=sqlite:{copy}").exit_code == 0
    assert copy.is_file()
    refused = typed("restore", file, "--only=accounts", f"--url=sqlite:{copy}")
    assert (refused.exit_code, "has no accounts" in refused.output) == (1, True)


def test_nothing_is_overwritten_unless_forced(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mesh.backup"
    file.write_bytes(b"mine")
    assert "is there already" in typed("backup", file, f"--data={data}").output
    assert file.read_bytes() == b"mine"
    assert typed("backup", file, f"--data={data}", "--force").exit_code == 0
    before = held(data)

    async def write() -> None:
        async with opened(data) as store:
            await store.add(turn("q", "a"))

    asyncio.run(write())
    refused = typed("restore", file, f"--data={data}")
    assert (refused.exit_code, "--force overwrites" in refused.output) == (1, True)
    assert held(data) != before
    assert typed("restore", file, f"--data={data}", "--force").exit_code == 0
    assert held(data) == before


def test_nothing_is_restored_under_a_service_that_runs(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mesh.backup"
    assert typed("backup", file, f"--data={data}").exit_code == 0

    async def serving() -> Result:
        async with opened(data):
            words = ("restore", file, f"--data={data}", "--force")
            return await asyncio.to_thread(typed, *words)

    refused = asyncio.run(serving())
    assert (refused.exit_code, "is in use" in refused.output) == (1, True)
    RunFile(data).write(RunningMesh("http://here", "here", "key", "m", os.getpid(), {}))
    assert "the mesh runs here" in typed("restore", file, f"--data={data}", "--force").output


def test_a_log_that_a_killed_service_left_is_not_read_into_what_is_restored(
    data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mesh.backup"
    assert typed("backup", file, f"--data={data}").exit_code == 0
    before = held(data)
    database = data / DATABASES[0]
    for beside in ("-wal", "-shm"):
        database.with_name(database.name + beside).write_bytes(b"of another file")
    database.write_bytes(b"broken")
    assert typed("restore", file, f"--data={data}", "--force").exit_code == 0
    assert held(data) == before


def test_a_broken_database_is_not_backed_up(data: Path, tmp_path: Path) -> None:
    (data / "memory.sqlite").write_bytes((data / "memory.sqlite").read_bytes()[:-9000])
    refused = typed("backup", tmp_path / "mesh.backup", f"--data={data}")
    assert refused.exit_code == 1
    assert "Traceback" not in refused.output
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("harm", ["cut", "changed", "no backup", "not there", "newer"])
def test_what_is_no_whole_backup_is_refused_before_anything_is_written(
    data: Path, tmp_path: Path, harm: str
) -> None:
    file, elsewhere = tmp_path / "mesh.backup", tmp_path / "elsewhere"
    if harm == "newer":
        with closing(sqlite3.connect(data / "memory.sqlite")) as writing, writing:
            writing.execute("UPDATE readers SET know = 1000")
    assert typed("backup", file, f"--data={data}").exit_code == 0
    whole = file.read_bytes()
    if harm == "cut":
        file.write_bytes(whole[: len(whole) // 2])
    if harm == "changed":
        file.write_bytes(whole.replace(b"answer a", b"answer b"))
    if harm == "no backup":
        with tarfile.open(file, "w") as archive:
            archive.add(data / "pepper", "pepper")
    if harm == "not there":
        file.unlink()
    refused = typed("restore", file, f"--data={elsewhere}")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")
    assert refused.output.count("\n") == 1
    assert not elsewhere.exists()


def test_a_server_is_left_to_its_own_tools() -> None:
    refused = typed("backup", "x.backup", "--only=facts", "--url=memory:")
    assert (refused.exit_code, "own tools" in refused.output) == (1, True)
    assert typed("backup", "x.backup", "--url=memory:").exit_code == 2
