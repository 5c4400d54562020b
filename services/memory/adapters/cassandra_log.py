"""The log of what was erased of all people's facts, in Cassandra."""

import json
from collections.abc import Sequence
from typing import Any

from services.memory.api import Erasure
from services.shared.cassandra import Keyspace, Undecided
from services.shared.scope import Scope

# So many entries stand in one partition.
_PART = 1000
_ALL = "all"
_APPEND = """
    INSERT INTO erasure_log (part, number, name, organisation, project, person, fact_ids)
    VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS
"""
_PUT = """
    INSERT INTO erasure_log (part, number, name, organisation, project, person, fact_ids)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_ENTRY = "SELECT name FROM erasure_log WHERE part = ? AND number = ?"
_ENTRIES = """
    SELECT number, organisation, project, person, fact_ids FROM erasure_log
    WHERE part = ? AND number > ? LIMIT ?
"""
_END = "SELECT number FROM erasure_log_end WHERE whose = ?"
# A number is its own timestamp: the highest one stays, in whichever order they arrive.
_SET_END = "INSERT INTO erasure_log_end (whose, number) VALUES (?, ?) USING TIMESTAMP ?"


class ErasureLog:
    """An entry takes the number behind the last one's, and only when that one is there.

    So whoever reads the log never finds a number before he could have found all lower ones.
    """

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace

    async def prepare(self) -> None:
        await self._keyspace.prepare([_APPEND, _PUT, _ENTRY, _ENTRIES, _END, _SET_END])

    async def append(self, name: str, scope: Scope, fact_ids: Sequence[str]) -> None:
        """`name` tells one entry from another."""
        number = await self._end() + 1
        while not await self._appended(number, name, scope, fact_ids):
            number += 1
        await self._keyspace.rows(_SET_END, (_ALL, number, number))

    async def put(self, erasure: Erasure) -> None:
        """An entry of a store of which this one becomes a copy."""
        scope, number = erasure.scope, erasure.number
        place = (number // _PART, number, f"copied {number}")
        ids = json.dumps([*erasure.fact_ids])
        values = (scope.organisation, scope.project, scope.person, ids)
        await self._keyspace.rows(_PUT, (*place, *values))
        await self._keyspace.rows(_SET_END, (_ALL, number, number))

    async def entries(self, after: int, limit: int) -> Sequence[Erasure]:
        found: list[Erasure] = []
        part = (after + 1) // _PART
        while len(found) < limit:
            wanted = (part, after, limit - len(found))
            rows = await self._keyspace.rows(_ENTRIES, wanted)
            found += [_erasure(row) for row in rows]
            # The next part begins when this one is full.
            if not rows or rows[-1].number != part * _PART + _PART - 1:
                break
            part += 1
        return found

    async def _end(self) -> int:
        """A number that is there, if any is; higher ones may be there too."""
        rows = await self._keyspace.rows(_END, (_ALL,))
        return rows[0].number if rows else 0

    async def _appended(
        self, number: int, name: str, scope: Scope, fact_ids: Sequence[str]
    ) -> bool:
        place = (number // _PART, number)
        values = (name, scope.organisation, scope.project, scope.person, json.dumps([*fact_ids]))
        while True:
            try:
                return await self._keyspace.applied(_APPEND, (*place, *values))
            except Undecided:
                for row in await self._keyspace.rows(_ENTRY, place, serial=True):
                    return bool(row.name == name)


def _erasure(row: Any) -> Erasure:
    scope = Scope(row.organisation, row.project, row.person)
    return Erasure(row.number, scope, tuple(json.loads(row.fact_ids)))
