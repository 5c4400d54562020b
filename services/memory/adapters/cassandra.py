"""Facts in Cassandra. The index over them is in the memory service."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.memory.adapters.cassandra_log import ErasureLog
from services.memory.adapters.cassandra_moving import FactMover
from services.memory.adapters.cassandra_schema import MIGRATIONS, PART
from services.memory.api import Erasure, Fact, Kind
from services.memory.ports import EmbeddedFact, Outdated, ScopeFacts, Vectors
from services.shared.background import every, in_background
from services.shared.cassandra import Keyspace, Undecided, migrate_keyspace, open_keyspace
from services.shared.moving import Page, Record
from services.shared.scope import Scope
from services.shared.store_url import StoreUrl

# Two bytes a number, as in SQLite.
_STORED = np.dtype("<f2")
_ALL = "all"
_SCOPE = "organisation = ? AND project = ? AND person = ?"
_REVISION = f"SELECT revision FROM fact WHERE {_SCOPE} LIMIT 1"
_STATE = f"SELECT revision, written, erasing FROM fact WHERE {_SCOPE} LIMIT 1"
_READ = f"""
    SELECT revision, id, body, kind, created_at_ms, updated_at_ms, vector FROM fact WHERE {_SCOPE}
"""
_TEXTS = f"SELECT id, body FROM fact WHERE {_SCOPE} AND id IN ?"
_IDS = f"SELECT id FROM fact WHERE {_SCOPE}"
_SOME_IDS = f"{_IDS} LIMIT ?"
_REVISE = f"""
    UPDATE fact SET revision = ?, written = ?, erasing = ? WHERE {_SCOPE}
    IF revision = ? AND erasing = ?
"""
_KEEP = """
    INSERT INTO fact (organisation, project, person, id, body, kind, created_at_ms, updated_at_ms,
        vector)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DROP = f"DELETE FROM fact WHERE {_SCOPE} AND id = ?"
_DROP_ALL = f"DELETE FROM fact WHERE {_SCOPE} AND id >= ''"
_LOGGED = f"UPDATE fact SET erasing = ? WHERE {_SCOPE} IF erasing = ?"
_OWE = """
    INSERT INTO unlogged_scope (whose, organisation, project, person, name) VALUES (?, ?, ?, ?, ?)
"""
_OWED = "SELECT organisation, project, person, name FROM unlogged_scope WHERE whose = ?"
_PAY = f"DELETE FROM unlogged_scope WHERE whose = ? AND {_SCOPE} AND name = ?"
_STATEMENTS = [
    *(_REVISION, _STATE, _READ, _TEXTS, _IDS, _SOME_IDS, _REVISE, _KEEP, _DROP, _DROP_ALL),
    *(_LOGGED, _OWE, _OWED, _PAY),
]
_Statement = tuple[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _State:
    """What a scope's partition says of itself."""

    revision: int = 0
    # The name of its last write.
    written: str = ""
    # An erasure that is done and perhaps not in the log yet: a name and ids in JSON.
    unlogged: str | None = None


@asynccontextmanager
async def open_cassandra_facts(
    url: StoreUrl, *, erased_within_seconds: float
) -> AsyncIterator["CassandraFacts"]:
    """Raises `CannotStart` where the keyspace has not this release's tables.

    What is erased or overwritten is gone from every read when the write returns. From the nodes'
    files it goes when Cassandra compacts them, after `gc_grace_seconds` of the table (10 days,
    unless the operator says otherwise); from a snapshot or a backup made before it never goes.
    Where a process ended before its erasure was in the log, another one logs it within
    `erased_within_seconds`.
    """
    async with open_keyspace(url, PART, MIGRATIONS) as keyspace:
        facts = CassandraFacts(keyspace)
        await facts.prepare()
        # A scope is seen to by the second sweep that finds it.
        async with in_background(lambda: every(erased_within_seconds / 2, facts.sweep)):
            yield facts


async def migrate_cassandra_facts(url: StoreUrl) -> None:
    await migrate_keyspace(url, PART, MIGRATIONS)


class CassandraFacts:
    """A `FactStore`, and `Movable`."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._log = ErasureLog(keyspace)
        self._moving = FactMover(keyspace, self._log)
        self._seen: set[tuple[str, ...]] = set()

    async def prepare(self) -> None:
        await asyncio.gather(
            self._keyspace.prepare(_STATEMENTS), self._log.prepare(), self._moving.prepare()
        )

    async def revision(self, scope: Scope) -> int:
        rows = await self._keyspace.rows(_REVISION, _key(scope))
        return (rows[0].revision or 0) if rows else 0

    async def read(self, scope: Scope) -> ScopeFacts:
        """Pages may come from before and from after a write: then all is read again."""
        while True:
            rows = await self._keyspace.rows(_READ, _key(scope))
            if len({row.revision for row in rows}) <= 1:
                return await asyncio.to_thread(_scope_facts, rows)

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[EmbeddedFact], drop: Sequence[str]
    ) -> int:
        if await self.revision(scope) != revision:
            raise Outdated
        erased = await self._erased_by(scope, keep, drop)
        left = keep or await self._has_others(scope, drop)
        written = _any_revision() if left else 0
        changes: list[_Statement] = [(_DROP, (*_key(scope), fact_id)) for fact_id in drop]
        # One that is dropped and kept at once is kept: both would bear the same time.
        kept = {each.fact.id for each in keep}
        changes = [change for change in changes if change[1][-1] not in kept]
        changes += [(_KEEP, (*_key(scope), *_columns(each))) for each in keep]
        if not await self._change(scope, revision, written, changes, erased):
            raise Outdated
        return written

    async def erase(self, scope: Scope) -> int:
        while True:
            revision = await self.revision(scope)
            rows = await self._keyspace.rows(_IDS, _key(scope))
            erased = [row.id for row in rows if row.id is not None]
            if not erased:
                return 0
            if await self._change(scope, revision, 0, [(_DROP_ALL, _key(scope))], erased):
                return len(erased)

    async def erasures(self, after: int, limit: int) -> Sequence[Erasure]:
        return await self._log.entries(after, limit)

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return await self._moving.page(kind, start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        await self._moving.put(records)

    async def sweep(self) -> None:
        """Logs what was erased by processes that ended before they did."""
        owed = {tuple(row) for row in await self._keyspace.rows(_OWED, (_ALL,))}
        for organisation, project, person, name in owed & self._seen:
            scope = Scope(organisation, project, person)
            await self._log_unlogged(scope, await self._state(scope))
            await self._keyspace.rows(_PAY, (_ALL, *_key(scope), name))
        self._seen = owed

    async def _change(
        self,
        scope: Scope,
        revision: int,
        written: int,
        changes: Sequence[_Statement],
        erased: Sequence[str],
    ) -> bool:
        """False: the scope has another revision by now, and nothing was done.

        That the erasure has to be logged is kept with the change itself.
        """
        name = secrets.token_hex(8)
        unlogged = json.dumps([name, *erased]) if erased else None
        key = _key(scope)
        revise = (written or None, name, unlogged, *key, revision or None, None)
        if erased:
            await self._keyspace.rows(_OWE, (_ALL, *key, name))
        while not await self._changed(scope, name, [(_REVISE, revise), *changes]):
            state = await self._state(scope)
            if state.revision != revision:
                return False
            await self._log_unlogged(scope, state)
        if unlogged:
            await self._log_unlogged(scope, _State(unlogged=unlogged))
            await self._keyspace.rows(_PAY, (_ALL, *key, name))
        return True

    async def _changed(self, scope: Scope, name: str, statements: Sequence[_Statement]) -> bool:
        try:
            return await self._keyspace.applied_together(statements)
        except Undecided:
            return (await self._state(scope)).written == name

    async def _state(self, scope: Scope) -> _State:
        """With all that was ever asked for and may still be done."""
        for row in await self._keyspace.rows(_STATE, _key(scope), serial=True):
            return _State(row.revision or 0, row.written or "", row.erasing)
        return _State()

    async def _log_unlogged(self, scope: Scope, state: _State) -> None:
        """An erasure may be logged twice where two processes do this at once; that does no harm."""
        if state.unlogged is None:
            return
        name, *fact_ids = json.loads(state.unlogged)
        await self._log.append(name, scope, fact_ids)
        try:
            await self._keyspace.applied(_LOGGED, (None, *_key(scope), state.unlogged))
        except Undecided:
            await self._state(scope)

    async def _erased_by(
        self, scope: Scope, keep: Sequence[EmbeddedFact], drop: Sequence[str]
    ) -> list[str]:
        """The ids whose text will be gone after the write, in order."""
        texts = dict.fromkeys(drop, "") | {each.fact.id: each.fact.text for each in keep}
        rows = await self._keyspace.rows(_TEXTS, (*_key(scope), [*texts])) if texts else ()
        return sorted(row.id for row in rows if row.id is not None and row.body != texts[row.id])

    async def _has_others(self, scope: Scope, drop: Iterable[str]) -> bool:
        dropped = {*drop}
        rows = await self._keyspace.rows(_SOME_IDS, (*_key(scope), len(dropped) + 1))
        return any(row.id is not None and row.id not in dropped for row in rows)


def _key(scope: Scope) -> tuple[str, str, str]:
    return scope.organisation, scope.project, scope.person


def _any_revision() -> int:
    """One that no scope has had: of 2**62 numbers, but for 0."""
    return secrets.randbits(62) or 1


def _scope_facts(rows: Sequence[Any]) -> ScopeFacts:
    embedded = tuple(_embedded(row) for row in rows if row.id is not None)
    return ScopeFacts(rows[0].revision, embedded) if embedded else ScopeFacts()


def _columns(embedded: EmbeddedFact) -> tuple[Any, ...]:
    fact = embedded.fact
    vector = embedded.vector.astype(_STORED).tobytes()
    return fact.id, fact.text, fact.kind.value, fact.created_at_ms, fact.updated_at_ms, vector


def _embedded(row: Any) -> EmbeddedFact:
    fact = Fact(row.id, row.body, Kind(row.kind), row.created_at_ms, row.updated_at_ms)
    vector: Vectors = np.frombuffer(row.vector, dtype=_STORED).astype(np.float32)
    return EmbeddedFact(fact, vector)
