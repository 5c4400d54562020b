import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.gateway.adapters.sqlite import open_accounts
from services.memory.adapters.sqlite import open_fact_store
from services.shared.sqlite import Breaking, open_sqlite

STORES = {
    "gateway": ("GATEWAY_ACCOUNTS_URL", open_accounts),
    "context_assembly": ("CONTEXT_ASSEMBLY_TURNS_URL", open_sqlite_turns),
    "memory": ("MEMORY_STORE_URL", open_fact_store),
}
NEWER = [*["SELECT 1"] * 98, Breaking("SELECT 1")]


def ran(service: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"services.{service}", *arguments]
    given = os.environ | environment
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("service", STORES)
async def test_a_store_is_migrated_without_the_service(service: str, tmp_path: Path) -> None:
    variable, opened = STORES[service]
    file = tmp_path / "store.sqlite"
    done = ran(service, "--migrate", **{variable: f"sqlite:{file}"})
    assert done.returncode == 0, done.stderr
    assert "the store has this release's schema" in done.stderr
    before = file.stat().st_size
    async with opened(f"sqlite:{file}"):
        assert file.stat().st_size == before > 0


async def test_a_store_that_is_too_new_says_so_in_its_last_line(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/store.sqlite"
    async with open_sqlite(url, NEWER):
        pass
    done = ran("memory", "--migrate", MEMORY_STORE_URL=url)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("memory: ")
    assert "has schema 99" in done.stderr


def test_a_service_that_keeps_nothing_has_nothing_to_migrate() -> None:
    done = ran("moderation", "--migrate")
    assert done.returncode == 2
    assert "unrecognized arguments: --migrate" in done.stderr
