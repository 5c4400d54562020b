"""Conversations in one SQLite file."""

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.context_assembly.adapters.reach import STEPS, characters
from services.context_assembly.adapters.records import ids_in, ids_out, items_in, items_out
from services.context_assembly.api import Turn
from services.context_assembly.ports import PastTurn, Path, Summary
from services.shared.chat import Scope
from services.shared.sqlite import Database, open_sqlite

MIGRATIONS = (
    """
    CREATE TABLE turn (
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        parent_id TEXT NOT NULL,
        root_id TEXT NOT NULL,
        chars INTEGER NOT NULL, -- of the path from the root through this turn
        erased INTEGER NOT NULL DEFAULT 0,
        created_at_ms INTEGER NOT NULL,
        person TEXT NOT NULL,
        memory_ids TEXT NOT NULL,
        input TEXT NOT NULL,
        output TEXT NOT NULL,
        document TEXT NOT NULL, -- last, since a path is read without it
        PRIMARY KEY (tenant, id)
    );
    CREATE INDEX turn_by_parent ON turn (tenant, parent_id);
    CREATE TABLE summary (
        tenant TEXT NOT NULL,
        turn_id TEXT NOT NULL,
        model TEXT NOT NULL,
        items INTEGER NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (tenant, turn_id, model)
    ) WITHOUT ROWID;
    """,
)

# `far` is reach.py's `unread`; division is whole, as there.
_PATH = """
    WITH RECURSIVE step (depth, place, parent_id, chars, far, summarised) AS (
        SELECT 0, rowid, parent_id, chars, max(0, chars - :max_chars) / :step * :step,
            EXISTS (SELECT 1 FROM summary AS s
                WHERE s.tenant = :tenant AND s.turn_id = turn.id AND s.model = :model)
        FROM turn WHERE tenant = :tenant AND id = :id AND NOT erased
        UNION ALL
        SELECT depth + 1, turn.rowid, turn.parent_id, turn.chars, far,
            EXISTS (SELECT 1 FROM summary AS s
                WHERE s.tenant = :tenant AND s.turn_id = turn.id AND s.model = :model)
        FROM step JOIN turn ON turn.tenant = :tenant AND turn.id = step.parent_id
        WHERE NOT summarised AND turn.chars > far
    )
    SELECT turn.id, turn.parent_id, root_id, erased, memory_ids, input, output,
        items AS summary_items, text AS summary_text
    FROM step JOIN turn ON turn.rowid = place
    LEFT JOIN summary ON summarised
        AND summary.tenant = turn.tenant AND turn_id = turn.id AND model = :model
    ORDER BY depth DESC
"""
_ROOT = "SELECT id, memory_ids, input, output FROM turn WHERE tenant = ? AND id = ? AND NOT erased"
_COLUMNS = (
    "tenant, id, parent_id, root_id, chars, created_at_ms, person,"
    " memory_ids, input, output, document"
)
_ADD_ROOT = f"INSERT OR IGNORE INTO turn ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_ADD_CHILD = f"""
    INSERT OR IGNORE INTO turn ({_COLUMNS})
    SELECT tenant, ?, id, root_id, chars + ?, ?, ?, ?, ?, ?, ? FROM turn
    WHERE tenant = ? AND id = ? AND NOT erased
"""  # noqa: S608
_ERASE = """
    UPDATE turn
    SET erased = 1, person = '', memory_ids = '', input = '', output = '', document = ''
    WHERE tenant = ? AND id = ? AND NOT erased
"""
_ERASE_SUMMARIES = """
    WITH RECURSIVE below (id) AS (
        SELECT :id
        UNION ALL
        SELECT turn.id FROM below JOIN turn ON turn.tenant = :tenant AND parent_id = below.id
    )
    DELETE FROM summary WHERE tenant = :tenant AND turn_id IN (SELECT id FROM below)
"""
_KEEP_SUMMARY = """
    INSERT OR REPLACE INTO summary (tenant, turn_id, model, items, text)
    SELECT :tenant, :turn_id, :model, :items, :text
    WHERE NOT EXISTS (
        SELECT 1 FROM json_each(:covers)
        LEFT JOIN turn ON turn.tenant = :tenant AND turn.id = json_each.value AND NOT erased
        WHERE turn.id IS NULL
    ) AND (:from_turn IS NULL OR EXISTS (
        SELECT 1 FROM summary
        WHERE tenant = :tenant AND turn_id = :from_turn AND model = :model
            AND items = :from_items AND text = :from_text
    ))
"""


@asynccontextmanager
async def open_sqlite_turns(url: str) -> AsyncIterator["SqliteTurns"]:
    async with open_sqlite(url, MIGRATIONS) as database:
        yield SqliteTurns(database)


class SqliteTurns:
    """A `TurnStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def path(self, tenant: str, turn_id: str, model: str, max_chars: int) -> Path | None:
        step = max(1, max_chars // STEPS)
        wanted = {"tenant": tenant, "id": turn_id, "model": model}
        rows = await self._database.rows(_PATH, wanted | {"max_chars": max_chars, "step": step})
        if not rows:
            return None
        first = rows[0]
        turns = [_past(row) for row in rows if not row["erased"]]
        covered = first["summary_text"] is not None
        return Path(
            turns=turns,
            summary=_summary(first) if covered else None,
            root=await self._root(tenant, first, turns),
            cut=bool(first["parent_id"]) and not covered,
        )

    async def _root(
        self, tenant: str, first: sqlite3.Row, turns: Sequence[PastTurn]
    ) -> PastTurn | None:
        if not first["parent_id"]:
            return None if first["erased"] else turns[0]
        rows = await self._database.rows(_ROOT, (tenant, first["root_id"]))
        return _past(rows[0]) if rows else None

    async def add(self, turn: Turn) -> bool:
        tenant = turn.scope.tenant
        said = (
            characters(turn),
            turn.created_at_ms,
            turn.scope.user,
            ids_out(turn.memory_ids),
            items_out(turn.input),
            items_out(turn.output),
            turn.document,
        )
        async with self._database.transaction() as writing:
            if turn.parent_id:
                row = (turn.id, *said, tenant, turn.parent_id)
                added = await writing.execute(_ADD_CHILD, row)
            else:
                added = await writing.execute(_ADD_ROOT, (tenant, turn.id, "", turn.id, *said))
            if added.rowcount:
                return True
            query = "SELECT 1 FROM turn WHERE tenant = ? AND id = ?"
            return bool(await writing.execute_fetchall(query, (tenant, turn.id)))

    async def get(self, tenant: str, turn_id: str) -> Turn | None:
        rows = await self._database.rows(
            "SELECT * FROM turn WHERE tenant = ? AND id = ? AND NOT erased", (tenant, turn_id)
        )
        return _turn(rows[0]) if rows else None

    async def erase(self, tenant: str, turn_id: str) -> bool:
        async with self._database.transaction() as writing:
            erased = await writing.execute(_ERASE, (tenant, turn_id))
            if not erased.rowcount:
                return False
            await writing.execute(_ERASE_SUMMARIES, {"tenant": tenant, "id": turn_id})
            await self._database.note_erasure()
        await self._database.scrub()
        return True

    async def keep_summary(
        self,
        tenant: str,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        values = {
            "tenant": tenant,
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


def _past(row: sqlite3.Row) -> PastTurn:
    return PastTurn(
        row["id"], items_in(row["input"]), items_in(row["output"]), ids_in(row["memory_ids"])
    )


def _summary(row: sqlite3.Row) -> Summary:
    return Summary(row["id"], row["summary_items"], row["summary_text"])


def _turn(row: sqlite3.Row) -> Turn:
    return Turn(
        id=row["id"],
        scope=Scope(row["tenant"], row["person"]),
        parent_id=row["parent_id"],
        created_at_ms=row["created_at_ms"],
        input=items_in(row["input"]),
        output=items_in(row["output"]),
        memory_ids=ids_in(row["memory_ids"]),
        document=row["document"],
    )
