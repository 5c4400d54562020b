"""PostgreSQL's own tools, as the README has them, bring back what was kept."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from services.context_assembly.adapters.postgres import open_postgres_turns
from services.context_assembly.ports import RECORD_KINDS
from services.shared.store_url import StoreUrl
from tests.fakes.kept_trees import fill
from tests.fakes.moving import contents
from tests.servers.postgres import empty_database, fresh_database, server


def superuser(url: StoreUrl) -> str:
    return url.get_secret_value().replace("//mesh:", "//postgres:")


async def run(program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [str(server().program(program)), *words]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)


async def test_what_pg_dump_wrote_is_brought_back_by_pg_restore(tmp_path: Path) -> None:
    file = f"{tmp_path}/chatmesh.dump"
    async with fresh_database() as url, empty_database() as target:
        async with open_postgres_turns(url) as turns:
            await fill(turns)
            before = await contents(turns, RECORD_KINDS)
            dump = ("--format=custom", "--schema=chatmesh_*", f"--file={file}")
            dumped = await run("pg_dump", *dump, superuser(url))
        assert dumped.returncode == 0, dumped.stderr
        restored = await run("pg_restore", "--exit-on-error", f"--dbname={superuser(target)}", file)
        assert restored.returncode == 0, restored.stderr
        async with open_postgres_turns(target) as copy:
            assert await contents(copy, RECORD_KINDS) == before
            assert before["turns"]


async def test_who_is_no_superuser_is_refused_a_dump_that_would_lack_rows(tmp_path: Path) -> None:
    async with fresh_database() as url:
        words = ("--schema=chatmesh_*", f"--file={tmp_path}/x", url.get_secret_value())
        refused = await run("pg_dump", *words)
    assert refused.returncode != 0
    assert b"row-level security" in refused.stderr


@pytest.fixture(autouse=True)
def _tools_are_there() -> None:
    assert server().program("pg_dump").is_file()
