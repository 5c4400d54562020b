"""`python -m services key`: whose account it makes, and what that may do."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.__main__ import main
from services.gateway import keys
from services.gateway.adapters.sqlite import open_accounts


@pytest.mark.parametrize(("options", "allowed"), [([], False), (["--memory"], True)])
async def test_only_who_says_so_lets_the_model_write_memory(
    tmp_path: Path, options: list[str], allowed: bool
) -> None:
    # The command runs an event loop of its own.
    made = await asyncio.to_thread(
        CliRunner().invoke, main, ["key", "Ada", f"--data={tmp_path}", *options]
    )
    key = keys.parse(made.output.strip())
    async with open_accounts(f"sqlite:{tmp_path}/gateway.sqlite") as accounts:
        stored = await accounts.find_key(key.id)
    assert stored
    assert stored.account.memory_write is allowed
