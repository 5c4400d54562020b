"""The table of conversations in the SQLite file of turns."""

from collections.abc import Mapping, Sequence
from typing import Any

import aiosqlite

from services.context_assembly.adapters import columns
from services.context_assembly.api import Paging, StoredConversation, Turn
from services.context_assembly.ports import ConversationGone, HeadMoved
from services.shared.scope import Scope
from services.shared.sqlite import Database

_ONE = "organisation = :organisation AND project = :project AND id = :id"
_FIND = f"SELECT * FROM conversation WHERE {_ONE}"  # noqa: S608
_BEGIN = """
    INSERT OR IGNORE INTO conversation
        (organisation, project, id, root_id, head, created_at_ms, person, metadata)
    VALUES (:organisation, :project, :id, :root_id, :head, :created_at_ms, :person, :metadata)
"""
_SET_METADATA = f"UPDATE conversation SET metadata = :metadata WHERE {_ONE}"  # noqa: S608
_MOVE = f"UPDATE conversation SET head = :head WHERE {_ONE} AND head = :parent_id"  # noqa: S608
_FORGET = f"DELETE FROM conversation WHERE {_ONE}"  # noqa: S608
_LIFT = """
    WITH RECURSIVE up (depth, id, parent_id, erased) AS (
        SELECT 0, id, parent_id, erased FROM turn
        WHERE organisation = :organisation AND project = :project AND id = :id
        UNION ALL
        SELECT depth + 1, turn.id, turn.parent_id, turn.erased
        FROM up JOIN turn ON turn.organisation = :organisation AND turn.project = :project
            AND turn.id = up.parent_id
        WHERE up.erased
    )
    UPDATE conversation SET head = (SELECT id FROM up WHERE NOT erased ORDER BY depth LIMIT 1)
    WHERE organisation = :organisation AND project = :project AND head = :id AND root_id = (
        SELECT root_id FROM turn
        WHERE organisation = :organisation AND project = :project AND id = :id
    )
"""
_NEWEST = """
    SELECT * FROM conversation
    WHERE organisation = :organisation AND project = :project
        AND (created_at_ms, id) < (:created_at_ms, :id)
    ORDER BY created_at_ms DESC, id DESC LIMIT :limit
"""
_OLDEST = """
    SELECT * FROM conversation
    WHERE organisation = :organisation AND project = :project
        AND (created_at_ms, id) > (:created_at_ms, :id)
    ORDER BY created_at_ms, id LIMIT :limit
"""
# Before and behind all of them.
_FIRST, _LAST = {"created_at_ms": -1, "id": ""}, {"created_at_ms": 2**63 - 1, "id": ""}


class ConversationTable:
    """What is read of conversations, and what changes in one of them alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, scope: Scope, conversation_id: str) -> StoredConversation | None:
        rows = await self._database.rows(_FIND, columns.named(scope, conversation_id))
        return columns.conversation(rows[0]) if rows else None

    async def page(self, scope: Scope, paging: Paging) -> Sequence[StoredConversation] | None:
        start: Mapping[str, Any] = _LAST if paging.newest_first else _FIRST
        if paging.after:
            known = await self.find(scope, paging.after)
            if known is None:
                return None
            start = {"created_at_ms": known.created_at_ms, "id": known.id}
        sql = _NEWEST if paging.newest_first else _OLDEST
        values = {**columns.place(scope), **start, "limit": paging.limit}
        rows = await self._database.rows(sql, values)
        return [*map(columns.conversation, rows)]

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        named = columns.named(scope, conversation_id)
        async with self._database.transaction() as writing:
            await writing.execute(_SET_METADATA, named | columns.metadata(metadata))
            rows = [*await writing.execute_fetchall(_FIND, named)]
        return columns.conversation(rows[0]) if rows else None


async def begin_conversation(
    writing: aiosqlite.Connection, conversation: StoredConversation, root_id: str
) -> bool:
    """False: it is there already."""
    values = columns.begun(conversation, root_id)
    return bool((await writing.execute(_BEGIN, values)).rowcount)


async def move_head(writing: aiosqlite.Connection, turn: Turn) -> None:
    """From the turn's parent to the turn. Raises `HeadMoved` or `ConversationGone`."""
    named = columns.named(turn.scope, turn.conversation_id)
    moved = await writing.execute(_MOVE, named | {"head": turn.id, "parent_id": turn.parent_id})
    if moved.rowcount:
        return
    if await writing.execute_fetchall(_FIND, named):
        raise HeadMoved
    raise ConversationGone


async def lift_heads(writing: aiosqlite.Connection, erased: Mapping[str, Any]) -> None:
    """From a turn that was erased to the nearest one above it that was not."""
    await writing.execute(_LIFT, erased)


async def forget_conversation(
    writing: aiosqlite.Connection, scope: Scope, conversation_id: str
) -> dict[str, Any] | None:
    """Where its tree is; None: there is no such conversation."""
    named = columns.named(scope, conversation_id)
    rows = [*await writing.execute_fetchall(_FIND, named)]
    if not rows:
        return None
    await writing.execute(_FORGET, named)
    return {**named, "root_id": rows[0]["root_id"]}
