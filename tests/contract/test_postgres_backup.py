"""PostgreSQL's own programs back up and bring back what the services keep, as the README says."""

import os
import subprocess
from pathlib import Path

from services.gateway.adapters.postgres import open_postgres_accounts
from services.gateway.ports import RECORD_KINDS
from services.shared.store_url import StoreUrl
from tests.fakes.moving import contents, fill_accounts
from tests.servers.postgres import empty_database, fresh_database, server

# The owner of the tables sees rows for every organisation where it says so.
EVERY = {"PGOPTIONS": "-c chatmesh.every_organisation=yes"}


def ran(program: str, *words: str, **environment: str) -> None:
    command = [str(server().program(program)), *words]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def kept(url: StoreUrl) -> object:
    async with open_postgres_accounts(url) as accounts:
        return await contents(accounts, RECORD_KINDS)


async def test_a_dump_of_the_tables_owner_holds_all_and_can_be_brought_back(tmp_path: Path) -> None:
    dump = str(tmp_path / "mesh.dump")
    async with fresh_database() as url, empty_database() as elsewhere:
        async with open_postgres_accounts(url) as accounts:
            await fill_accounts(accounts)
        whole = await kept(url)
        options = ("--format=custom", "--enable-row-security", "--schema=chatmesh_*")
        ran("pg_dump", *options, f"--file={dump}", url.get_secret_value(), **EVERY)
        ran("pg_restore", "--no-owner", f"--dbname={elsewhere.get_secret_value()}", dump)
        assert await kept(elsewhere) == whole
        # Over what was written since.
        async with open_postgres_accounts(url) as accounts:
            await accounts.add_key("later", "acct_1", b"print")
        assert await kept(url) != whole
        restore = ("--no-owner", "--clean", "--if-exists")
        ran("pg_restore", *restore, f"--dbname={url.get_secret_value()}", dump)
        assert await kept(url) == whole
