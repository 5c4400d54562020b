"""Conversations in PostgreSQL.

What is erased is gone from every read when the erasure returns. From the server's files it goes
when autovacuum has gone over the table and the space is used again; from the write-ahead log when
that is recycled; and from a backup that was made before, never.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg.rows import DictRow

from services.context_assembly.adapters import columns
from services.context_assembly.adapters import postgres_sql as sql
from services.context_assembly.adapters.postgres_moving import keep_records, read_records
from services.context_assembly.adapters.postgres_schema import MIGRATIONS, SCHEMA
from services.context_assembly.adapters.reach import block
from services.context_assembly.api import Paging, StoredConversation, Turn
from services.context_assembly.compactions import compacts, uncompacted, without_item
from services.context_assembly.ports import (
    ConversationGone,
    HeadMoved,
    PastTurn,
    Path,
    Stretch,
    Summary,
)
from services.memory.api import Erasure
from services.shared.moving import Page, Record
from services.shared.postgres import (
    EVERY_ORGANISATION,
    PostgresDatabase,
    Transaction,
    open_postgres,
)
from services.shared.postgres_schema import migrate_postgres
from services.shared.scope import Scope
from services.shared.store_url import StoreUrl

# Before and behind all conversations.
_FIRST, _LAST = {"created_at_ms": -1, "after": ""}, {"created_at_ms": 2**63 - 1, "after": ""}


@asynccontextmanager
async def open_postgres_turns(url: StoreUrl) -> AsyncIterator["PostgresTurns"]:
    async with open_postgres(url, SCHEMA, MIGRATIONS) as database:
        yield PostgresTurns(database)


async def migrate_postgres_turns(url: StoreUrl) -> None:
    await migrate_postgres(url, SCHEMA, MIGRATIONS)


class PostgresTurns:
    """A `TurnStore`, and `Movable`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        # What `erasures_handled` says; None: not read yet.
        self._handled: int | None = None

    async def path(self, scope: Scope, turn_id: str, model: str, max_chars: int) -> Path | None:
        reach = {"model": model, "max_chars": max_chars, "block": block(max_chars)}
        rows = await self._run(sql.PATH, columns.named(scope, turn_id) | reach)
        if not rows:
            return None
        first = rows[0]
        turns = [columns.past(row) for row in rows if not row["erased"]]
        covered = first["summary_text"] is not None
        return Path(
            turns=turns,
            summary=columns.summary(first) if covered else None,
            root=await self._root(scope, first, turns),
            cut=bool(first["parent_id"]) and not covered and not first["compacts"],
            erasures_above=rows[-1]["below_erased"],
        )

    async def _root(
        self, scope: Scope, first: DictRow, turns: Sequence[PastTurn]
    ) -> PastTurn | None:
        if not first["parent_id"]:
            return None if first["erased"] else turns[0]
        rows = await self._run(sql.ROOT, columns.named(scope, first["root_id"]))
        return columns.past(rows[0]) if rows else None

    async def add(self, turn: Turn) -> bool:
        values = columns.named(turn.scope, turn.id) | columns.said(turn)
        async with self._database.transaction(turn.scope.organisation) as writing:
            await writing.queue(sql.SHARE_PROJECT, values)
            await writing.queue(sql.SHARE_TREE, values)
            added = await _add(writing, turn, _above(turn))
            if added["added"] or await writing.rows(sql.IS_THERE, values):
                return True
            if not turn.conversation_id:
                return False
            raise HeadMoved if added["begun"] else ConversationGone

    async def get(self, scope: Scope, turn_id: str) -> Turn | None:
        rows = await self._run(sql.GET, columns.named(scope, turn_id))
        return columns.turn(rows[0]) if rows else None

    async def erase(self, scope: Scope, turn_id: str) -> bool:
        erased = columns.named(scope, turn_id)
        async with self._database.transaction(scope.organisation) as writing:
            await _lock_tree(writing, erased)
            if not await writing.rows(sql.ERASE, erased):
                return False
            await _erased(writing, erased)
            await writing.queue(sql.LIFT_HEADS, erased)
        return True

    async def erase_item(self, scope: Scope, turn_id: str, item_id: str) -> bool:
        erased = columns.named(scope, turn_id)
        async with self._database.transaction(scope.organisation) as writing:
            await _lock_tree(writing, erased)
            found = await writing.rows(sql.GET, erased)
            changed = without_item(columns.turn(found[0]), item_id) if found else None
            if changed is None:
                return False
            await _rewrite(writing, changed)
            await _erased(writing, erased)
        return True

    async def erase_tree(self, scope: Scope, conversation_id: str) -> bool:
        named = columns.named(scope, conversation_id)
        async with self._database.transaction(scope.organisation) as writing:
            await writing.queue(sql.SHARE_PROJECT, named)
            await writing.queue(sql.LOCK_TREE_OF, named)
            forgotten = await writing.rows(sql.FORGET_CONVERSATION, named)
            if not forgotten:
                return False
            root_id = forgotten[0]["root_id"]
            root = columns.named(scope, root_id) | {"root_id": root_id}
            await writing.queue(sql.ERASE_TREE, root)
            await _erased(writing, root)
        return True

    async def start(self, conversation: StoredConversation, first: Turn) -> None:
        begun = columns.begun(conversation, first.id)
        async with self._database.transaction(first.scope.organisation) as writing:
            await writing.queue(sql.SHARE_PROJECT, begun)
            if await writing.rows(sql.BEGIN_CONVERSATION, begun):
                await _add(writing, first, sql.NOTHING)

    async def conversation(self, scope: Scope, conversation_id: str) -> StoredConversation | None:
        rows = await self._run(sql.CONVERSATION, columns.named(scope, conversation_id))
        return columns.conversation(rows[0]) if rows else None

    async def conversations(
        self, scope: Scope, paging: Paging
    ) -> Sequence[StoredConversation] | None:
        start: Mapping[str, Any] = _LAST if paging.newest_first else _FIRST
        if paging.after:
            known = await self.conversation(scope, paging.after)
            if known is None:
                return None
            start = {"created_at_ms": known.created_at_ms, "after": known.id}
        page = sql.NEWEST if paging.newest_first else sql.OLDEST
        rows = await self._run(page, {**columns.place(scope), **start, "limit": paging.limit})
        return [*map(columns.conversation, rows)]

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        values = columns.named(scope, conversation_id) | columns.metadata(metadata)
        rows = await self._run(sql.SET_METADATA, values)
        return columns.conversation(rows[0]) if rows else None

    async def stretch(self, scope: Scope, turn_id: str, most: int) -> Stretch:
        rows = await self._run(sql.STRETCH, columns.named(scope, turn_id) | {"most": most})
        turns = [columns.past(row) for row in rows if not row["erased"]]
        return Stretch(turns, rows[0]["parent_id"] if rows else "")

    async def keep_summary(
        self,
        scope: Scope,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        values = {
            **columns.named(scope, summary.turn_id),
            "model": model,
            "items": summary.items,
            "text": summary.text,
            "covers": [*covers],
            "from_turn": grown_from.turn_id if grown_from else None,
            "from_items": grown_from.items if grown_from else None,
            "from_text": grown_from.text if grown_from else None,
        }
        async with self._database.transaction(scope.organisation) as writing:
            await _lock_tree(writing, values)
            return bool(await writing.rows(sql.KEEP_SUMMARY, values))

    async def forget_facts(self, erasure: Erasure) -> None:
        erased = {"facts": [*erasure.fact_ids], "number": erasure.number}
        values = columns.place(erasure.scope) | erased
        async with self._database.transaction(erasure.scope.organisation) as writing:
            for each in (sql.LOCK_PROJECT, sql.REMEMBER_ERASED, sql.FORGET):
                await writing.queue(each, values)
            (row,) = await writing.rows(sql.HANDLED, values)
        self._handled = max(self._handled or 0, row["number"])

    async def erasures_handled(self) -> int:
        if self._handled is None:
            # Of all organisations: it counts, and says nothing of anybody.
            read = "SELECT number FROM erasures_handled"
            (row,) = await self._database.run(EVERY_ORGANISATION, read)
            self._handled = max(self._handled or 0, row["number"])
        return self._handled

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return await read_records(self._database, kind, start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        async with self._database.transaction(EVERY_ORGANISATION) as writing:
            await keep_records(writing, records)
        self._handled = None

    async def _run(self, statement: str, values: Mapping[str, Any]) -> list[DictRow]:
        return await self._database.run(values["organisation"], statement, values)


def _above(turn: Turn) -> str:
    if turn.conversation_id:
        return sql.PARENT_THAT_IS_HEAD
    return sql.PARENT if turn.parent_id else sql.NOTHING


async def _add(writing: Transaction, turn: Turn, above: str) -> DictRow:
    """Adds the turn below what `above` finds, unless that is nothing or the turn was there.

    Says whether it has `added` it, and whether the turn's conversation was `begun` then.
    """
    if compacts(turn) and turn.parent_id:
        place = columns.named(turn.scope, turn.id) | {"parent_id": turn.parent_id}
        erasures = [row["below_erased"] for row in await writing.rows(sql.ERASURES, place)]
        if any(number > turn.erasures_above for number in erasures):
            turn = uncompacted(turn)
    values = columns.named(turn.scope, turn.id) | columns.said(turn)
    if turn.kept_ids:
        values |= columns.kept(turn.kept_ids) | {"facts": [*turn.kept_ids.fact_ids]}
    (row,) = await writing.rows(sql.add(above, with_ids=bool(turn.kept_ids)), values)
    return row


async def _lock_tree(writing: Transaction, named: Mapping[str, Any]) -> None:
    await writing.queue(sql.SHARE_PROJECT, named)
    await writing.queue(sql.LOCK_TREE, named)


async def _erased(writing: Transaction, erased: Mapping[str, Any]) -> None:
    """Takes away what may hold words of the turn that was erased, or of a part of it."""
    for row in await writing.rows(sql.COMPACTING_BELOW, erased):
        await _rewrite(writing, uncompacted(columns.turn(row)))
    await writing.queue(sql.ERASE_BELOW, erased)


async def _rewrite(writing: Transaction, turn: Turn) -> None:
    values = columns.named(turn.scope, turn.id) | columns.said(turn)
    await writing.queue(sql.REWRITE, values)
