from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtest import stores
from loadtest.stores import measured
from services.context_assembly.api import Turn
from services.context_assembly.ports import TurnStore
from services.context_assembly.wiring import open_turns
from services.shared.errors import Unavailable
from services.shared.store_url import StoreUrl


async def test_a_store_is_measured_at_every_length_and_reads_no_more_of_a_longer_conversation(
    tmp_path: Path,
) -> None:
    told = await measured([f"sqlite:{tmp_path}/turns.sqlite"], lengths=(2, 40, 80))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines()[-3:]]
    assert [row[:2] for row in rows] == [["sqlite", "2"], ["sqlite", "40"], ["sqlite", "80"]]
    assert all(float(cell) > 0 for row in rows for cell in row[2:6])
    read = [int(row[6]) for row in rows]
    assert read[0] == 2
    assert 20 < read[1] <= 40
    assert read[2] <= read[1] + 8


async def test_a_store_that_gives_up_keeps_its_shorter_rows_and_is_not_asked_for_longer_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = 0

    @asynccontextmanager
    async def slow(url: StoreUrl, *, erased_within_seconds: float) -> AsyncGenerator[TurnStore]:
        async with open_turns(url, erased_within_seconds=erased_within_seconds) as store:
            add = store.add

            async def give_up(turn: Turn) -> bool:
                nonlocal added
                added += 1
                if added > 150:
                    raise Unavailable("MongoDB does not answer now", service="mongodb")
                return await add(turn)

            monkeypatch.setattr(store, "add", give_up)
            yield store

    monkeypatch.setattr(stores, "open_turns", slow)
    told = await measured([f"sqlite:{tmp_path}/turns.sqlite"], lengths=(2, 80, 90))
    *_, row, why = told.splitlines()
    assert row.startswith("| sqlite | 2 ")
    assert why == "sqlite at 80 turns gave up: MongoDB does not answer now"
    assert added == 151
