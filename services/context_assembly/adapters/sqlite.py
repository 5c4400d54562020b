"""Conversations in one SQLite file."""

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite

from services.context_assembly.adapters import columns
from services.context_assembly.adapters.reach import block
from services.context_assembly.adapters.records import names_out
from services.context_assembly.adapters.sqlite_conversations import (
    ConversationTable,
    begin_conversation,
    forget_conversation,
    lift_heads,
    move_head,
)
from services.context_assembly.adapters.sqlite_moving import keep_records, read_records
from services.context_assembly.adapters.sqlite_schema import JOIN_KEPT, KEPT, MIGRATIONS
from services.context_assembly.api import KeptIds, Paging, StoredConversation, Turn
from services.context_assembly.compactions import compacts, uncompacted, without_item
from services.context_assembly.ports import PastTurn, Path, Stretch, Summary
from services.memory.api import Erasure
from services.shared.moving import Page, Record
from services.shared.scope import Scope
from services.shared.sqlite import ERASED_WITHIN_SECONDS, Database, open_sqlite

_SUMMARISED = """EXISTS (SELECT 1 FROM summary AS s WHERE s.organisation = :organisation
                AND s.project = :project AND s.turn_id = turn.id AND s.model = :model)"""
# `far` is reach.py's `unread`; division is whole, as there.
_PATH = f"""
    WITH RECURSIVE walked (depth, place, parent_id, chars, far, compacts, summarised) AS (
        SELECT 0, rowid, parent_id, chars, max(0, chars - :max_chars) / :block * :block, compacts,
            {_SUMMARISED}
        FROM turn
        WHERE organisation = :organisation AND project = :project AND id = :id AND NOT erased
        UNION ALL
        SELECT depth + 1, turn.rowid, turn.parent_id, turn.chars, far, turn.compacts,
            {_SUMMARISED}
        FROM walked JOIN turn ON turn.organisation = :organisation AND turn.project = :project
            AND turn.id = walked.parent_id
        WHERE NOT summarised AND NOT walked.compacts AND turn.chars > far
    )
    SELECT turn.id, turn.parent_id, root_id, erased, below_erased, memory_ids, input, output,
        turn.compacts,
        items AS summary_items, text AS summary_text, {KEPT}
    FROM walked JOIN turn ON turn.rowid = place
    LEFT JOIN summary ON summarised AND summary.organisation = turn.organisation
        AND summary.project = turn.project AND summary.turn_id = turn.id
        AND summary.model = :model
    {JOIN_KEPT}
    ORDER BY depth DESC
"""  # noqa: S608
_ROOT = """
    SELECT id, memory_ids, input, output, NULL AS kept_ids FROM turn
    WHERE organisation = :organisation AND project = :project AND id = :id AND NOT erased
"""
_GET = f"""
    SELECT turn.*, {KEPT} FROM turn {JOIN_KEPT}
    WHERE turn.organisation = :organisation AND turn.project = :project AND turn.id = :id
        AND NOT erased
"""  # noqa: S608
# The newest `most` turns of the way from the root to one.
_STRETCH = """
    WITH RECURSIVE walked (depth, place, parent_id) AS (
        SELECT 0, rowid, parent_id FROM turn
        WHERE organisation = :organisation AND project = :project AND id = :id
        UNION ALL
        SELECT depth + 1, turn.rowid, turn.parent_id
        FROM walked JOIN turn ON turn.organisation = :organisation AND turn.project = :project
            AND turn.id = walked.parent_id
        WHERE depth + 1 < :most
    )
    SELECT id, turn.parent_id, erased, memory_ids, input, output, NULL AS kept_ids
    FROM walked JOIN turn ON turn.rowid = place ORDER BY depth DESC
"""
_IS_THERE = """
    SELECT 1 FROM turn WHERE organisation = :organisation AND project = :project AND id = :id
"""
_COLUMNS = """organisation, project, id, parent_id, root_id, chars, below_erased, conversation_id,
        created_at_ms, person, memory_ids, input, output, compacts, document"""
_VALUES = """:conversation_id, :created_at_ms, :person, :memory_ids, :input, :output, :compacts,
        :document"""
_ADD_ROOT = f"""
    INSERT OR IGNORE INTO turn ({_COLUMNS})
    VALUES (:organisation, :project, :id, '', :id, :chars, 0, {_VALUES})
"""  # noqa: S608
_ADD_CHILD = f"""
    INSERT OR IGNORE INTO turn ({_COLUMNS})
    SELECT organisation, project, :id, id, root_id, chars + :chars, below_erased, {_VALUES}
    FROM turn
    WHERE organisation = :organisation AND project = :project AND id = :parent_id AND NOT erased
"""  # noqa: S608
_ERASURES = """
    SELECT below_erased FROM turn
    WHERE organisation = :organisation AND project = :project AND id = :id
"""
_REWRITE = """
    UPDATE turn SET input = :input, output = :output, compacts = :compacts
    WHERE organisation = :organisation AND project = :project AND id = :id
"""
# The conditions are those of `TurnStore.add`.
_KEEP_IDS = """
    INSERT INTO kept_ids
        (organisation, project, turn_id, model, inherited, fact_ids, erasures_known, ids)
    SELECT organisation, project, id, :model, :inherited, :fact_ids, :erasures_known, :ids
    FROM turn
    WHERE organisation = :organisation AND project = :project AND id = :id AND NOT below_erased
    AND NOT EXISTS (
        SELECT 1 FROM erased_fact AS erased
        WHERE erased.organisation = :organisation AND erased.project = :project
            AND erased.fact_id IN (SELECT value FROM json_each(:fact_ids))
            AND erased.number > :erasures_known
    ) AND (:inherited = 0 OR EXISTS (
        SELECT 1 FROM kept_ids AS above
        WHERE above.organisation = :organisation AND above.project = :project
            AND above.turn_id = turn.parent_id AND above.model = :model
    ))
"""
_NOTE_FACTS = """
    INSERT OR IGNORE INTO fact_read (organisation, project, turn_id, fact_id)
    SELECT :organisation, :project, :id, value FROM json_each(:fact_ids)
"""
_ERASE = """
    UPDATE turn
    SET erased = 1, person = '', memory_ids = '', input = '', output = '', document = '',
        compacts = 0
    WHERE organisation = :organisation AND project = :project AND id = :id AND NOT erased
        AND NOT EXISTS (
            SELECT 1 FROM conversation AS begun WHERE begun.organisation = :organisation
                AND begun.project = :project AND begun.root_id = :id
        )
"""
# The turns that `turn_ids` lists in JSON, and all below them.
_BELOW = """(
    WITH RECURSIVE below (id) AS (
        SELECT value FROM json_each(:turn_ids)
        UNION
        SELECT turn.id FROM below JOIN turn ON turn.organisation = :organisation
            AND turn.project = :project AND turn.parent_id = below.id
    )
    SELECT id FROM below
)"""
_OF_THOSE_BELOW = f"organisation = :organisation AND project = :project AND turn_id IN {_BELOW}"
_ERASE_SUMMARIES = f"DELETE FROM summary WHERE {_OF_THOSE_BELOW}"  # noqa: S608
_ERASE_KEPT_IDS = f"DELETE FROM kept_ids WHERE {_OF_THOSE_BELOW}"  # noqa: S608
_ERASE_FACTS_READ = f"DELETE FROM fact_read WHERE {_OF_THOSE_BELOW}"  # noqa: S608
_MARK_BELOW = f"""
    UPDATE turn SET below_erased = below_erased + 1
    WHERE organisation = :organisation AND project = :project AND id IN {_BELOW}
"""  # noqa: S608
_COMPACTING_BELOW = f"""
    SELECT turn.*, NULL AS kept_ids FROM turn
    WHERE organisation = :organisation AND project = :project AND id IN {_BELOW}
        AND compacts AND NOT erased
"""  # noqa: S608
_ERASE_TREE = """
    UPDATE turn
    SET erased = 1, person = '', memory_ids = '', input = '', output = '', document = '',
        compacts = 0
    WHERE organisation = :organisation AND project = :project AND root_id = :root_id
"""
_READERS = """
    SELECT turn_id FROM fact_read
    WHERE organisation = :organisation AND project = :project
        AND fact_id IN (SELECT value FROM json_each(:fact_ids))
"""
_REMEMBER_ERASED = """
    INSERT INTO erased_fact (organisation, project, fact_id, number)
    SELECT :organisation, :project, value, :number FROM json_each(:fact_ids) WHERE true
    ON CONFLICT (organisation, project, fact_id)
        DO UPDATE SET number = max(number, excluded.number)
"""
_KEEP_SUMMARY = """
    INSERT OR REPLACE INTO summary (organisation, project, turn_id, model, items, text)
    SELECT :organisation, :project, :turn_id, :model, :items, :text
    WHERE NOT EXISTS (
        SELECT 1 FROM json_each(:covers)
        LEFT JOIN turn ON turn.organisation = :organisation AND turn.project = :project
            AND turn.id = json_each.value AND NOT erased
        WHERE turn.id IS NULL
    ) AND (:from_turn IS NULL OR EXISTS (
        SELECT 1 FROM summary
        WHERE organisation = :organisation AND project = :project
            AND turn_id = :from_turn AND model = :model
            AND items = :from_items AND text = :from_text
    ))
"""


@asynccontextmanager
async def open_sqlite_turns(
    url: str, *, erased_within_seconds: float = ERASED_WITHIN_SECONDS
) -> AsyncIterator["SqliteTurns"]:
    async with open_sqlite(
        url, MIGRATIONS, erased_within_seconds=erased_within_seconds
    ) as database:
        yield SqliteTurns(database)


class SqliteTurns:
    """A `TurnStore`, and `Movable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._conversations = ConversationTable(database)
        # What `erasures_handled` says; None: not read yet.
        self._handled: int | None = None

    async def path(self, scope: Scope, turn_id: str, model: str, max_chars: int) -> Path | None:
        reach = {"model": model, "max_chars": max_chars, "block": block(max_chars)}
        rows = await self._database.rows(_PATH, columns.named(scope, turn_id) | reach)
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
        self, scope: Scope, first: sqlite3.Row, turns: Sequence[PastTurn]
    ) -> PastTurn | None:
        if not first["parent_id"]:
            return None if first["erased"] else turns[0]
        rows = await self._database.rows(_ROOT, columns.named(scope, first["root_id"]))
        return columns.past(rows[0]) if rows else None

    async def add(self, turn: Turn) -> bool:
        named = columns.named(turn.scope, turn.id)
        async with self._database.transaction() as writing:
            if await writing.execute_fetchall(_IS_THERE, named):
                return True
            if turn.conversation_id:
                await move_head(writing, turn)
            return await self._add(writing, turn)

    async def _add(self, writing: aiosqlite.Connection, turn: Turn) -> bool:
        """False: the parent is not there."""
        named = columns.named(turn.scope, turn.id)
        if compacts(turn) and turn.parent_id:
            above = columns.named(turn.scope, turn.parent_id)
            erasures = [row[0] for row in await writing.execute_fetchall(_ERASURES, above)]
            if any(number > turn.erasures_above for number in erasures):
                turn = uncompacted(turn)
        add = _ADD_CHILD if turn.parent_id else _ADD_ROOT
        if not (await writing.execute(add, named | columns.said(turn))).rowcount:
            return False
        if turn.kept_ids:
            await _keep_ids(writing, named, turn.kept_ids)
        return True

    async def get(self, scope: Scope, turn_id: str) -> Turn | None:
        rows = await self._database.rows(_GET, columns.named(scope, turn_id))
        return columns.turn(rows[0]) if rows else None

    async def erase(self, scope: Scope, turn_id: str) -> bool:
        erased = columns.named(scope, turn_id) | {"turn_ids": json.dumps([turn_id])}
        async with self._database.transaction() as writing:
            if not (await writing.execute(_ERASE, erased)).rowcount:
                return False
            await self._erased(writing, erased)
            await lift_heads(writing, erased)
        return True

    async def erase_item(self, scope: Scope, turn_id: str, item_id: str) -> bool:
        erased = columns.named(scope, turn_id) | {"turn_ids": json.dumps([turn_id])}
        async with self._database.transaction() as writing:
            found = [*await writing.execute_fetchall(_GET, erased)]
            changed = without_item(columns.turn(found[0]), item_id) if found else None
            if changed is None:
                return False
            await _rewrite(writing, changed)
            await self._erased(writing, erased)
        return True

    async def _erased(self, writing: aiosqlite.Connection, erased: Mapping[str, Any]) -> None:
        """Takes away what may hold words of what was erased in `turn_ids`."""
        for row in await writing.execute_fetchall(_COMPACTING_BELOW, erased):
            await _rewrite(writing, uncompacted(columns.turn(row)))
        for erase in (_ERASE_SUMMARIES, _ERASE_KEPT_IDS, _ERASE_FACTS_READ, _MARK_BELOW):
            await writing.execute(erase, erased)
        await self._database.note_erasure()

    async def erase_tree(self, scope: Scope, conversation_id: str) -> bool:
        async with self._database.transaction() as writing:
            tree = await forget_conversation(writing, scope, conversation_id)
            if tree is None:
                return False
            await writing.execute(_ERASE_TREE, tree)
            await self._erased(writing, tree | {"turn_ids": json.dumps([tree["root_id"]])})
        return True

    async def start(self, conversation: StoredConversation, first: Turn) -> None:
        async with self._database.transaction() as writing:
            is_there = await writing.execute_fetchall(
                _IS_THERE, columns.named(first.scope, first.id)
            )
            if not is_there and await begin_conversation(writing, conversation, first.id):
                await self._add(writing, first)

    async def conversation(self, scope: Scope, conversation_id: str) -> StoredConversation | None:
        return await self._conversations.find(scope, conversation_id)

    async def conversations(
        self, scope: Scope, paging: Paging
    ) -> Sequence[StoredConversation] | None:
        return await self._conversations.page(scope, paging)

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        return await self._conversations.set_metadata(scope, conversation_id, metadata)

    async def stretch(self, scope: Scope, turn_id: str, most: int) -> Stretch:
        rows = await self._database.rows(_STRETCH, columns.named(scope, turn_id) | {"most": most})
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
            **columns.place(scope),
            "model": model,
            "turn_id": summary.turn_id,
            "items": summary.items,
            "text": summary.text,
            "covers": json.dumps([*covers]),
            "from_turn": grown_from.turn_id if grown_from else None,
            "from_items": grown_from.items if grown_from else None,
            "from_text": grown_from.text if grown_from else None,
        }
        async with self._database.transaction() as writing:
            kept = await writing.execute(_KEEP_SUMMARY, values)
            return bool(kept.rowcount)

    async def forget_facts(self, erasure: Erasure) -> None:
        erased = {"fact_ids": names_out(erasure.fact_ids), "number": erasure.number}
        values = columns.place(erasure.scope) | erased
        async with self._database.transaction() as writing:
            await writing.execute(_REMEMBER_ERASED, values)
            readers = await writing.execute_fetchall(_READERS, values)
            values["turn_ids"] = json.dumps([row["turn_id"] for row in readers])
            if (await writing.execute(_ERASE_KEPT_IDS, values)).rowcount:
                await writing.execute(_ERASE_FACTS_READ, values)
                await self._database.note_erasure()
            # With the erasure or not at all. The scrub that is owed for it survives the process.
            handled = "UPDATE erasures_handled SET number = max(number, ?)"
            await writing.execute(handled, (erasure.number,))
        if self._handled is not None:
            self._handled = max(self._handled, erasure.number)

    async def erasures_handled(self) -> int:
        if self._handled is None:
            ((number,),) = await self._database.rows("SELECT number FROM erasures_handled")
            self._handled = max(self._handled or 0, number)
        return self._handled

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return await read_records(self._database, kind, start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        async with self._database.transaction() as writing:
            await keep_records(writing, records)
        self._handled = None


async def _keep_ids(writing: aiosqlite.Connection, named: Mapping[str, Any], kept: KeptIds) -> None:
    values = {**named, **columns.kept(kept)}
    if (await writing.execute(_KEEP_IDS, values)).rowcount:
        await writing.execute(_NOTE_FACTS, values)


async def _rewrite(writing: aiosqlite.Connection, turn: Turn) -> None:
    await writing.execute(_REWRITE, columns.named(turn.scope, turn.id) | columns.said(turn))
