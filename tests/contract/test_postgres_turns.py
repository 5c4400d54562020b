"""What reading a long conversation in PostgreSQL costs, counted by the server in rows."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from services.context_assembly.adapters import postgres_sql as sql
from services.context_assembly.adapters.postgres import PostgresTurns, open_postgres_turns
from services.context_assembly.adapters.reach import block
from services.shared.store_url import StoreUrl
from tests.fakes.context_assembly import SCOPE
from tests.fakes.turn_trees import id_of, turn
from tests.servers.postgres import fresh_database, server

LONG = 400
# Also of what was done shortly before on the same connection.
_READ = """
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint AS read
    FROM pg_stat_xact_user_tables WHERE schemaname = 'chatmesh_context_assembly'
"""


@dataclass(frozen=True, slots=True)
class Filled:
    url: StoreUrl
    turns: PostgresTurns

    async def rows_read(self, statement: str, values: Mapping[str, Any]) -> tuple[int, int]:
        """How many rows the statement returns, and how many were read for it."""
        place = {"organisation": SCOPE.organisation, "project": SCOPE.project}
        async with self.turns._database.transaction(SCOPE.organisation) as reading:
            before = await reading.rows(_READ)
            found = await reading.rows(statement, {**place, **values})
            after = await reading.rows(_READ)
        return len(found), _number(after) - _number(before)


def _number(rows: Sequence[Mapping[str, Any]]) -> int:
    return rows[0]["read"] or 0


@pytest.fixture(scope="module")
async def filled() -> AsyncIterator[Filled]:
    """One conversation of many turns, which the server believes to be short: it has not looked."""
    async with fresh_database() as url, open_postgres_turns(url) as turns:
        for number in range(LONG):
            assert await turns.add(turn(f"t{number:02}", f"t{number - 1:02}" if number else ""))
        yield Filled(url, turns)


def reaching(name: str, max_chars: int) -> dict[str, Any]:
    reach = {"max_chars": max_chars, "block": block(max_chars)}
    return {"id": id_of(name), "model": "m", **reach}


@pytest.mark.parametrize("analysed", [False, True])
async def test_a_path_costs_what_is_read_of_it_and_not_what_lies_before(
    filled: Filled, *, analysed: bool
) -> None:
    if analysed:
        with server().superuser(filled.url.get_secret_value().rpartition("/")[2]) as superuser:
            superuser.execute("ANALYZE")
    for last in (f"t{LONG // 4}", f"t{LONG - 1}"):
        returned, read = await filled.rows_read(sql.PATH, reaching(last, 200))
        assert 4 < returned < 20
        # Each is walked to, and then read whole; one more shows that the rest is too far back.
        assert read <= 2 * returned + 1
        returned, read = await filled.rows_read(sql.STRETCH, {"id": id_of(last), "most": 5})
        assert (returned, read) == (5, 10)
    returned, read = await filled.rows_read(sql.PATH, reaching(f"t{LONG - 1}", 10**6))
    assert returned == LONG
    assert read == 2 * LONG


async def test_other_conversations_are_not_looked_through(filled: Filled) -> None:
    await filled.turns.add(turn("a"))
    await asyncio.gather(*(filled.turns.add(turn(f"b{number}", "a")) for number in range(20)))
    for statement in (sql.GET, sql.ROOT):
        _, read = await filled.rows_read(statement, {"id": id_of("b7")})
        assert read <= 2
