"""What Cassandra keeps beside the trees of conversations: lists of them, of facts and of debts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.context_assembly.adapters.trees.rows import Debt, Noted, Tree
from services.shared.cassandra import Keyspace
from services.shared.scope import Scope

# Conversations begun in the same 30 days stand in one partition.
_MONTH_MS = 30 * 24 * 3600 * 1000
# So many partitions hold the readers of one fact, by the tree's id.
_PARTS = 16
# The partition of the rows that are about no tenant.
_ALL = "all"

_MONTH = "organisation = ? AND project = ? AND month = ?"
_NOTE_MONTH = "INSERT INTO conversation_month (organisation, project, month) VALUES (?, ?, ?)"
_MONTHS = "SELECT month FROM conversation_month WHERE organisation = ? AND project = ?"
_NOTE = """
    INSERT INTO conversation (organisation, project, month, created_at_ms, id)
    VALUES (?, ?, ?, ?, ?)
"""
_FORGET = f"DELETE FROM conversation WHERE {_MONTH} AND created_at_ms = ? AND id = ?"
_OLDEST = f"""
    SELECT created_at_ms, id FROM conversation WHERE {_MONTH} AND (created_at_ms, id) > (?, ?)
    ORDER BY created_at_ms ASC, id ASC LIMIT ?
"""
_NEWEST = f"""
    SELECT created_at_ms, id FROM conversation WHERE {_MONTH} AND (created_at_ms, id) < (?, ?)
    ORDER BY created_at_ms DESC, id DESC LIMIT ?
"""
# Before and behind all of them.
_FIRST, _LAST = (-1, ""), (2**63 - 1, "")
_FACT = "organisation = ? AND project = ? AND fact_id = ?"
_NOTE_READER = """
    INSERT INTO fact_reader (organisation, project, fact_id, part, turn_id, known)
    VALUES (?, ?, ?, ?, ?, ?)
"""
_READERS = f"SELECT turn_id, known FROM fact_reader WHERE {_FACT} AND part = ?"
_FORGET_READER = f"DELETE FROM fact_reader WHERE {_FACT} AND part = ? AND turn_id = ?"
# A number is its own timestamp: the highest one stays, in whichever order they arrive.
_NOTE_ERASED = """
    INSERT INTO erased_fact (organisation, project, fact_id, number) VALUES (?, ?, ?, ?)
    USING TIMESTAMP ?
"""
_LAST_ERASED = f"SELECT number FROM erased_fact WHERE {_FACT}"
_SET_HANDLED = "INSERT INTO erasures_handled (whose, number) VALUES (?, ?) USING TIMESTAMP ?"
_HANDLED = "SELECT number FROM erasures_handled WHERE whose = ?"
_OWE = "INSERT INTO debt (whose, organisation, project, root, name) VALUES (?, ?, ?, ?, ?)"
_OWED = "SELECT organisation, project, root, name FROM debt WHERE whose = ?"
_PAY = """
    DELETE FROM debt
    WHERE whose = ? AND organisation = ? AND project = ? AND root = ? AND name = ?
"""
_TREES = "SELECT DISTINCT organisation, project, root FROM tree_section"
_ERASED_FACTS = "SELECT organisation, project, fact_id, number FROM erased_fact"
# In the order of their tokens, of which no two of a store are the same.
_EVERY = {
    "trees": f"{_TREES} LIMIT ?",
    "trees after": f"""
        {_TREES} WHERE token(organisation, project, root) > token(?, ?, ?) LIMIT ?
    """,
    "erased facts": f"{_ERASED_FACTS} LIMIT ?",
    "erased facts after": f"""
        {_ERASED_FACTS} WHERE token(organisation, project, fact_id) > token(?, ?, ?) LIMIT ?
    """,
}
_STATEMENTS = [
    *_EVERY.values(),
    *(_NOTE_MONTH, _MONTHS, _NOTE, _FORGET, _OLDEST, _NEWEST, _NOTE_READER, _READERS),
    *(_FORGET_READER, _NOTE_ERASED, _LAST_ERASED, _SET_HANDLED, _HANDLED, _OWE, _OWED, _PAY),
]


class CassandraLists:
    """Of `TreeRows`, all but the rows of trees."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace

    async def prepare(self) -> None:
        await self._keyspace.prepare(_STATEMENTS)

    async def note_conversation(self, tree: Tree, noted: Noted) -> None:
        month = (tree.organisation, tree.project, noted.created_at_ms // _MONTH_MS)
        await asyncio.gather(
            self._keyspace.rows(_NOTE_MONTH, month),
            self._keyspace.rows(_NOTE, (*month, *noted)),
        )

    async def forget_conversation(self, tree: Tree, noted: Noted) -> None:
        month = (tree.organisation, tree.project, noted.created_at_ms // _MONTH_MS)
        await self._keyspace.rows(_FORGET, (*month, *noted))

    async def noted_conversations(
        self, scope: Scope, after: Noted | None, limit: int, *, newest_first: bool
    ) -> Sequence[Noted]:
        statement = _NEWEST if newest_first else _OLDEST
        start = after or (_LAST if newest_first else _FIRST)
        found: list[Noted] = []
        async for month in self._months(scope, start[0] // _MONTH_MS, newest_first=newest_first):
            place = (scope.organisation, scope.project, month)
            rows = await self._keyspace.rows(statement, (*place, *start, limit - len(found)))
            found += [Noted(row.created_at_ms, row.id) for row in rows]
            if len(found) == limit:
                break
        return found

    async def _months(self, scope: Scope, start: int, *, newest_first: bool) -> AsyncIterator[int]:
        rows = await self._keyspace.rows(_MONTHS, (scope.organisation, scope.project))
        months = sorted((row.month for row in rows), reverse=newest_first)
        for month in months:
            if (month <= start) if newest_first else (month >= start):
                yield month

    async def note_reader(self, tree: Tree, turn_id: str, fact_id: str, known: int) -> None:
        place = (tree.organisation, tree.project, fact_id, _part(turn_id))
        await self._keyspace.rows(_NOTE_READER, (*place, turn_id, known))

    async def readers(self, scope: Scope, fact_id: str) -> Sequence[tuple[str, int]]:
        place = (scope.organisation, scope.project, fact_id)
        parts = await asyncio.gather(
            *(self._keyspace.rows(_READERS, (*place, part)) for part in range(_PARTS))
        )
        return [(row.turn_id, row.known) for rows in parts for row in rows]

    async def forget_readers(self, scope: Scope, fact_id: str, turn_ids: Sequence[str]) -> None:
        place = (scope.organisation, scope.project, fact_id)
        for turn_id in turn_ids:
            await self._keyspace.rows(_FORGET_READER, (*place, _part(turn_id), turn_id))

    async def note_erased(self, scope: Scope, fact_id: str, number: int) -> None:
        place = (scope.organisation, scope.project, fact_id)
        await self._keyspace.rows(_NOTE_ERASED, (*place, number, number))

    async def last_erased(self, scope: Scope, fact_id: str) -> int:
        place = (scope.organisation, scope.project, fact_id)
        return _number(await self._keyspace.rows(_LAST_ERASED, place))

    async def set_handled(self, number: int) -> None:
        await self._keyspace.rows(_SET_HANDLED, (_ALL, number, number))

    async def handled(self) -> int:
        return _number(await self._keyspace.rows(_HANDLED, (_ALL,)))

    async def owe(self, debt: Debt) -> None:
        await self._keyspace.rows(_OWE, (_ALL, *debt.tree, debt.name))

    async def owed(self) -> Sequence[Debt]:
        rows = await self._keyspace.rows(_OWED, (_ALL,))
        return [Debt(Tree(row.organisation, row.project, row.root), row.name) for row in rows]

    async def pay(self, debt: Debt) -> None:
        await self._keyspace.rows(_PAY, (_ALL, *debt.tree, debt.name))

    async def trees(self, after: Tree | None, limit: int) -> Sequence[Tree]:
        return [Tree(*row) for row in await self._every("trees", after, limit)]

    async def erased_facts(
        self, after: tuple[str, str, str] | None, limit: int
    ) -> Sequence[tuple[str, str, str, int]]:
        found = await self._every("erased facts", after, limit)
        return [(row.organisation, row.project, row.fact_id, row.number) for row in found]

    async def _every(
        self, what: str, after: tuple[str, str, str] | None, limit: int
    ) -> Sequence[Any]:
        if after is None:
            return await self._keyspace.rows(_EVERY[what], (limit,))
        return await self._keyspace.rows(_EVERY[f"{what} after"], (*after, limit))


def _part(turn_id: str) -> int:
    """Ids end with random hex digits."""
    return sum(turn_id[-4:].encode()) % _PARTS


def _number(rows: Sequence[Any]) -> int:
    return rows[0].number if rows else 0
