"""`chatmesh migrate`, as it is typed, and what the services say before it was."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from services.context_assembly.wiring import open_turns
from services.gateway.wiring import open_accounts
from services.memory.wiring import open_facts
from services.shared.store_url import StoreUrl
from tests.servers.postgres import empty_database, server

KNOBS = ("MEMORY_STORE_URL", "CONTEXT_ASSEMBLY_TURNS_URL", "GATEWAY_ACCOUNTS_URL")


def ran(module: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


async def opens(url: StoreUrl) -> None:
    async with (
        open_accounts(url),
        open_turns(url, erased_within_seconds=60),
        open_facts(url, erased_within_seconds=60),
    ):
        pass


async def test_a_service_says_what_to_run_and_then_it_may_start() -> None:
    async with empty_database() as url:
        environment = dict.fromkeys(KNOBS, url.get_secret_value())
        refused = ran("services.memory", MEMORY_ADDRESS="127.0.0.1:0", **environment)
        assert refused.returncode == 1
        assert "run `chatmesh migrate`" in refused.stderr.splitlines()[-1]
        done = ran("services", "migrate", **environment)
        assert (done.returncode, done.stderr) == (0, "")
        await opens(url)
        assert server().password not in refused.stderr + refused.stdout


async def test_one_server_for_all_is_named_once(tmp_path: Path) -> None:
    async with empty_database() as url:
        (tmp_path / "url").write_text(url.get_secret_value())
        assert ran("services", "migrate", f"--stores=file:{tmp_path}/url").returncode == 0
        done = ran("services", "migrate", CHATMESH_STORES=url.get_secret_value())
        assert done.returncode == 0
        await opens(url)
        made = ran(
            "services",
            "key",
            "create",
            "Ada",
            f"--data={tmp_path}",
            CHATMESH_STORES=url.get_secret_value(),
        )
        assert made.stdout.startswith("cm_live_")
        async with open_accounts(url) as accounts:
            assert [key.account.name for key in await accounts.list_keys()] == ["Ada"]


def test_files_of_a_folder_are_migrated(tmp_path: Path) -> None:
    assert ran("services", "migrate", f"--data={tmp_path}").returncode == 0
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"memory.sqlite", "context-assembly.sqlite", "gateway.sqlite"}


def test_what_cannot_be_migrated_ends_with_a_sentence(tmp_path: Path) -> None:
    environment: Mapping[str, str] = dict.fromkeys(KNOBS, "postgresql://ann:s3cr3t@127.0.0.1:1/db")
    for done in (
        ran("services", "migrate", **environment),
        ran("services", "migrate", "--stores=mysql://ann:s3cr3t@db"),
    ):
        assert done.returncode == 1
        assert "s3cr3t" not in done.stdout + done.stderr
        assert done.stderr.startswith(
            ("chatmesh: PostgreSQL cannot be reached", "CONTEXT_ASSEMBLY_TURNS_URL: ")
        )
        assert done.stderr.count("\n") == 1
