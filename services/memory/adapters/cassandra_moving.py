"""The tables of facts in Cassandra as records, and records as their rows."""

import json
from collections.abc import Sequence
from typing import Any

from services.memory.adapters.cassandra_log import ErasureLog
from services.memory.api import Erasure, Fact, Kind
from services.memory.ports import FactRecord, RevisionsRecord, ScopeRecord
from services.shared.cassandra import Keyspace
from services.shared.moving import Page
from services.shared.scope import Scope

_SCOPES = "SELECT DISTINCT organisation, project, person, revision FROM fact"
_FACTS = """
    SELECT organisation, project, person, id, body, kind, created_at_ms, updated_at_ms, vector
    FROM fact
"""
_TOKEN = "token(organisation, project, person)"  # noqa: S105
_SCOPE = "organisation = ? AND project = ? AND person = ?"
# In the order of the tokens of people, of which no two of a store are the same.
_FIRST_SCOPES = f"{_SCOPES} LIMIT ?"
_NEXT_SCOPES = f"{_SCOPES} WHERE {_TOKEN} > token(?, ?, ?) LIMIT ?"
_FIRST_FACTS = f"{_FACTS} LIMIT ?"
_NEXT_FACTS = f"{_FACTS} WHERE {_TOKEN} > token(?, ?, ?) LIMIT ?"
_MORE_FACTS = f"{_FACTS} WHERE {_SCOPE} AND id > ? LIMIT ?"
_PUT_SCOPE = f"UPDATE fact SET revision = ? WHERE {_SCOPE}"
_PUT_FACT = """
    INSERT INTO fact (organisation, project, person, id, body, kind, created_at_ms, updated_at_ms,
        vector)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Revisions are random here. A store that counts them goes on from the last when it gets it back.
_REVISIONS = "revisions of a store that counts them"
_LAST = "SELECT number FROM erasure_log_end WHERE whose = ?"
_PUT_LAST = "INSERT INTO erasure_log_end (whose, number) VALUES (?, ?)"
_STATEMENTS = [
    *(_FIRST_SCOPES, _NEXT_SCOPES, _FIRST_FACTS, _NEXT_FACTS, _MORE_FACTS, _PUT_SCOPE, _PUT_FACT),
    *(_LAST, _PUT_LAST),
]


class FactMover:
    def __init__(self, keyspace: Keyspace, log: ErasureLog) -> None:
        self._keyspace = keyspace
        self._log = log

    async def prepare(self) -> None:
        await self._keyspace.prepare(_STATEMENTS)

    async def page(self, kind: type, start: str, limit: int) -> Page[Any]:
        if kind is ScopeRecord:
            return await self._scopes(start, limit)
        if kind is FactRecord:
            return await self._facts(start, limit)
        if kind is Erasure:
            erasures = await self._log.entries(int(start or 0), limit)
            return Page(erasures, str(erasures[-1].number) if len(erasures) == limit else "")
        last = await self._keyspace.rows(_LAST, (_REVISIONS,))
        return Page([RevisionsRecord(row.number) for row in last])

    async def _scopes(self, start: str, limit: int) -> Page[Any]:
        """Of a person without facts a row may be left; it has no revision."""
        if start:
            rows = await self._keyspace.rows(_NEXT_SCOPES, (*json.loads(start), limit))
        else:
            rows = await self._keyspace.rows(_FIRST_SCOPES, (limit,))
        found = [ScopeRecord(_scope(row), row.revision) for row in rows if row.revision]
        return Page(found, json.dumps(_key(rows[-1])) if len(rows) == limit else "")

    async def _facts(self, start: str, limit: int) -> Page[Any]:
        if not start:
            rows = await self._keyspace.rows(_FIRST_FACTS, (limit,))
        else:
            *scope, after = json.loads(start)
            rows = [*await self._keyspace.rows(_MORE_FACTS, (*scope, after, limit))]
            if len(rows) < limit:
                wanted = (*scope, limit - len(rows))
                rows += await self._keyspace.rows(_NEXT_FACTS, wanted)
        found = [_fact_record(row) for row in rows if row.id is not None]
        rest = json.dumps([*_key(rows[-1]), rows[-1].id or ""]) if len(rows) == limit else ""
        return Page(found, rest)

    async def put(self, records: Sequence[Any]) -> None:
        for record in records:
            match record:
                case ScopeRecord(scope, revision):
                    await self._keyspace.rows(_PUT_SCOPE, (revision, *_key(scope)))
                case FactRecord(scope, fact, vector):
                    times = (fact.created_at_ms, fact.updated_at_ms)
                    values = (fact.id, fact.text, fact.kind.value, *times, vector)
                    await self._keyspace.rows(_PUT_FACT, (*_key(scope), *values))
                case Erasure():
                    await self._log.put(record)
                case RevisionsRecord(last):
                    await self._keyspace.rows(_PUT_LAST, (_REVISIONS, last))


def _key(place: Any) -> tuple[str, str, str]:
    return place.organisation, place.project, place.person


def _scope(row: Any) -> Scope:
    return Scope(*_key(row))


def _fact_record(row: Any) -> FactRecord:
    fact = Fact(row.id, row.body, Kind(row.kind), row.created_at_ms, row.updated_at_ms)
    return FactRecord(_scope(row), fact, row.vector)
