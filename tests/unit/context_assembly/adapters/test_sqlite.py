import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.context_assembly.adapters.sqlite import SqliteTurns, open_sqlite_turns
from services.context_assembly.adapters.sqlite_schema import MIGRATIONS
from services.context_assembly.api import KeptIds, Paging
from services.context_assembly.ports import Summary
from services.memory.api import Erasure
from services.shared.sqlite import Database, open_sqlite
from tests.fakes.context_assembly import SCOPE, assistant, recorded, user
from tests.fakes.turn_trees import id_of, turn

CANARY = "canary-7f3a"
# Its four bytes are read as text.
ID = int.from_bytes(b"cnry", "little")


def on_disk(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(directory.iterdir()) if file.is_file())


def ids_of(number: int, *facts: str) -> KeptIds:
    ids = [ID] * 400 + [*f"{number:02}".encode()]
    return KeptIds("m", 0, ids, facts)


async def fill(turns: SqliteTurns) -> None:
    for number in range(20):
        text = f"{CANARY} {number} " + "bla " * 400
        parent_id = f"t{number - 1}" if number else ""
        written = recorded(f"t{number}", parent_id, [user(text)], [assistant(text)])
        await turns.add(replace(written, kept_ids=ids_of(number, f"mem_{number}")))
    summary = Summary("t5", 2, CANARY * 100)
    await turns.keep_summary(SCOPE, "m", summary, covers=["t0"], grown_from=None)


async def test_nothing_of_an_erased_turn_is_left_in_the_files(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/turns.sqlite", MIGRATIONS) as database:
        turns = SqliteTurns(database)
        await fill(turns)
        assert CANARY.encode() in on_disk(tmp_path)
        assert b"cnry" in on_disk(tmp_path)
        for number in range(20):
            assert await turns.erase(SCOPE, f"t{number}")
            await database.scrub()
            assert f"{CANARY} {number} ".encode() not in on_disk(tmp_path)
            # All other turns stand below the first.
            assert b"cnry" not in on_disk(tmp_path)
        assert CANARY.encode() not in on_disk(tmp_path)


async def test_nothing_of_an_erased_facts_ids_is_left_in_the_files(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/turns.sqlite", MIGRATIONS) as database:
        turns = SqliteTurns(database)
        await fill(turns)
        for number in reversed(range(20)):
            await turns.forget_facts(Erasure(20 - number, SCOPE, [f"mem_{number}"]))
            await database.scrub()
            files = on_disk(tmp_path)
            assert files.count(ID.to_bytes(4, "little") * 400) == number
            assert f"mem_{number}".encode() in files  # which it was, and no words
        assert b"cnry" not in on_disk(tmp_path)
        assert CANARY.encode() in on_disk(tmp_path)


async def test_an_erasure_counts_when_nobody_reads_it_and_the_next_start_owes_the_files(
    tmp_path: Path,
) -> None:
    url = f"sqlite:{tmp_path}/turns.sqlite"
    async with open_sqlite_turns(url) as turns:
        await turns.add(turn("a", kept_ids=ids_of(1, "mem_1")))
        await turns.forget_facts(Erasure(7, SCOPE, ["mem_1"]))
        assert await turns.erasures_handled() == 7
        assert await turns.get(SCOPE, id_of("a")) == turn("a")
        # As a killed process leaves them.
        killed = tmp_path / "killed"
        killed.mkdir()
        for file in ("turns.sqlite", "turns.sqlite-wal"):
            (killed / file).write_bytes((tmp_path / file).read_bytes())
        assert b"cnry" in on_disk(killed)
    async with open_sqlite_turns(f"sqlite:{killed}/turns.sqlite") as again:
        assert await again.erasures_handled() == 7
        assert b"cnry" not in on_disk(killed)


async def test_a_fact_that_nobody_read_costs_no_rewriting_of_the_file(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/turns.sqlite", MIGRATIONS) as database:
        turns = SqliteTurns(database)
        await turns.add(turn("a", kept_ids=ids_of(1, "mem_1")))
        for fact_id, noted in (("mem_2", 0), ("mem_1", 1), ("mem_1", 1)):
            await turns.forget_facts(Erasure(1, SCOPE, [fact_id]))
            assert [row["noted"] for row in await database.rows("SELECT * FROM erasures")] == [
                noted
            ]


async def test_turns_and_summaries_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/turns.sqlite"
    async with open_sqlite_turns(url) as turns:
        await fill(turns)
        await turns.forget_facts(Erasure(7, SCOPE, ["mem_19", "mem_30"]))
    async with open_sqlite_turns(url) as turns:
        path = await turns.path(SCOPE, "t19", "m", 10**6)
        assert path
        assert path.summary == Summary("t5", 2, CANARY * 100)
        assert [each.id for each in path.turns] == [f"t{number}" for number in range(5, 20)]
        assert [each.kept_ids and bytes(each.kept_ids.ids[400:]) for each in path.turns] == [
            *(f"{number:02}".encode() for number in range(5, 19)),
            None,
        ]
        assert await turns.erasures_handled() == 7
        await turns.add(turn("a", kept_ids=ids_of(1, "mem_30")))
        assert await turns.get(SCOPE, id_of("a")) == turn("a")


@pytest.mark.parametrize("erased_first", [True, False])
async def test_a_fact_erased_by_another_process_brings_no_ids_back(
    tmp_path: Path, *, erased_first: bool
) -> None:
    url = f"sqlite:{tmp_path}/turns.sqlite"
    async with open_sqlite_turns(url) as ours, open_sqlite_turns(url) as theirs:
        if erased_first:
            await theirs.forget_facts(Erasure(7, SCOPE, ["mem_1"]))
        await ours.add(turn("a", kept_ids=ids_of(1, "mem_1")))
        if not erased_first:
            await theirs.forget_facts(Erasure(7, SCOPE, ["mem_1"]))
        assert await ours.get(SCOPE, id_of("a")) == turn("a")
        assert await ours.erasures_handled() == 7


async def test_the_trees_of_0_1_0_whose_ids_hold_no_root_go_on(tmp_path: Path) -> None:
    async with open_sqlite_turns(f"sqlite:{tmp_path}/turns.sqlite") as turns:
        older = [f"resp_{number:032x}" for number in range(3)]
        newer = older[2] + "f" * 32
        for parent_id, turn_id in zip(("", *older), (*older, newer), strict=True):
            assert await turns.add(recorded(turn_id, parent_id))
        path = await turns.path(SCOPE, newer, "m", 1)
        assert path
        assert [each.id for each in path.turns] == [newer]
        assert path.root
        assert path.root.id == older[0]


class Explained(Database):
    """Tells how SQLite finds the rows of all that is read."""

    def __init__(self, database: Database) -> None:
        super().__init__(database._writer, database._reader, database._scrubber)
        self.plans: list[list[str]] = []

    async def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        await self.explain(sql, parameters)
        return await super().rows(sql, parameters)

    async def explain(self, sql: str, parameters: Iterable[Any] = ()) -> None:
        plan = await super().rows(f"EXPLAIN QUERY PLAN {sql}", parameters)
        self.plans.append([row["detail"] for row in plan])


async def test_a_path_is_one_statement_that_looks_through_no_table(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/turns.sqlite", MIGRATIONS) as database:
        explained = Explained(database)
        turns = SqliteTurns(explained)
        await fill(turns)
        path = await turns.path(SCOPE, "t19", "other", 10**6)
        assert path
        assert len(path.turns) == 20
        assert len(explained.plans) == 1
        await turns.get(SCOPE, "t19")
    scans = [each for plan in explained.plans for each in plan if each.startswith("SCAN")]
    assert {*scans} == {"SCAN walked"}
    read = "".join(each for plan in explained.plans for each in plan)
    for table in ("turn", "summary", "kept_ids"):
        assert f"SEARCH {table} USING" in read


async def test_who_read_a_fact_is_found_without_looking_through_a_table(tmp_path: Path) -> None:
    seen: list[str] = []
    async with open_sqlite(f"sqlite:{tmp_path}/turns.sqlite", MIGRATIONS) as database:
        await database._writer.set_trace_callback(seen.append)
        turns = SqliteTurns(database)
        await turns.add(turn("a", kept_ids=ids_of(1, "mem_1")))
        await turns.forget_facts(Erasure(7, SCOPE, ["mem_1"]))
        await turns.erase(SCOPE, id_of("a"))
        explained = Explained(database)
        for each in seen:
            if "organisation" in each:
                await explained.explain(each)
    found = [each for plan in explained.plans for each in plan]
    assert any("fact_read_by_fact (organisation=? AND project=? AND fact_id=?)" in e for e in found)
    scans = {each for each in found if each.startswith("SCAN") and "VIRTUAL TABLE" not in each}
    assert scans == {"SCAN below", "SCAN up"}
    assert not [each for each in found if each.endswith("(organisation=? AND project=?)")]


async def test_a_file_without_conversations_gets_them_and_keeps_its_turns(tmp_path: Path) -> None:
    """As 0.2.0 wrote it before there were any; a release that knows no more can still use it."""
    url = f"sqlite:{tmp_path}/turns.sqlite"
    async with open_sqlite(url, MIGRATIONS[:2]) as database, database.transaction() as writing:
        await writing.execute(
            """INSERT INTO turn (organisation, project, id, parent_id, root_id, chars,
                created_at_ms, person, memory_ids, input, output, document)
            VALUES ('acme', 'main', 'a', '', 'a', 2, 1, '', '[]', '[]', '[]', '{}')"""
        )
    async with open_sqlite_turns(url) as turns:
        found = await turns.get(SCOPE, "a")
        assert found
        assert (found.conversation_id, found.document) == ("", "{}")
        assert await turns.conversations(SCOPE, Paging()) == []
        assert await turns.add(replace(found, id="b", parent_id="a"))
    async with open_sqlite(url, MIGRATIONS[:2]) as database:
        assert len(await database.rows("SELECT id FROM turn")) == 2
