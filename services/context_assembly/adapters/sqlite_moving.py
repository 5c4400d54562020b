"""The SQLite file of turns as records, and records as its rows."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import aiosqlite

from services.context_assembly.adapters import columns
from services.context_assembly.adapters.sqlite_schema import JOIN_KEPT, KEPT
from services.context_assembly.ports import (
    ConversationRecord,
    ErasedFactRecord,
    HandledRecord,
    Summary,
    TurnRecord,
)
from services.shared.moving import Page
from services.shared.sqlite import Database
from services.shared.sqlite_moving import page_of

_Place = tuple[str, str, str]
# In the order in which they were added, so that none comes before its parent. A place is a turn's
# key: SQLite may number rows anew.
_TURNS = f"""
    SELECT turn.*, {KEPT} FROM turn {JOIN_KEPT}
    WHERE turn.rowid > coalesce((
        SELECT rowid FROM turn WHERE (organisation, project, id) = (?, ?, ?)
    ), 0) ORDER BY turn.rowid LIMIT ?
"""  # noqa: S608
_SUMMARIES = """
    SELECT summary.* FROM json_each(?) AS wanted JOIN summary
    ON (organisation, project, turn_id) = (value ->> 0, value ->> 1, value ->> 2)
"""
_KEY = ("organisation", "project", "id")
_OTHERS = """parent_id root_id chars erased below_erased conversation_id created_at_ms person
    memory_ids input output compacts document""".split()
# A row that is there keeps its number.
_PUT_TURN = f"""
    INSERT INTO turn ({", ".join((*_KEY, *_OTHERS))})
    VALUES ({", ".join(f":{each}" for each in (*_KEY, *_OTHERS))})
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE
    SET {", ".join(f"{each} = excluded.{each}" for each in _OTHERS)}
"""  # noqa: S608
_OF_THE_TURN = "WHERE organisation = :organisation AND project = :project AND turn_id = :id"
_DROP_BESIDE = [
    f"DELETE FROM {table} {_OF_THE_TURN}"  # noqa: S608
    for table in ("summary", "kept_ids", "fact_read")
]
_PUT_SUMMARY = """
    INSERT INTO summary (organisation, project, turn_id, model, items, text)
    VALUES (?, ?, ?, ?, ?, ?)
"""
_PUT_KEPT_IDS = """
    INSERT INTO kept_ids
        (organisation, project, turn_id, model, inherited, fact_ids, erasures_known, ids)
    VALUES (:organisation, :project, :id, :model, :inherited, :fact_ids, :erasures_known, :ids)
"""
_PUT_FACT_READ = """
    INSERT OR IGNORE INTO fact_read (organisation, project, turn_id, fact_id)
    VALUES (?, ?, ?, ?)
"""
_PUT_CONVERSATION = """
    INSERT OR REPLACE INTO conversation
        (organisation, project, id, root_id, head, created_at_ms, person, metadata)
    VALUES (:organisation, :project, :id, :root_id, :head, :created_at_ms, :person, :metadata)
"""
_PUT_ERASED_FACT = """
    INSERT OR REPLACE INTO erased_fact (organisation, project, fact_id, number) VALUES (?, ?, ?, ?)
"""


async def read_records(database: Database, kind: type, start: str, limit: int) -> Page[Any]:
    if kind is not TurnRecord:
        return await page_of(database, columns.TABLES[kind], start, limit)
    after = json.loads(start) if start else ("", "", "")
    rows = await database.rows(_TURNS, (*after, limit))
    places = [*map(_place, rows)]
    summaries: dict[_Place, dict[str, Summary]] = defaultdict(dict)
    for row in await database.rows(_SUMMARIES, (json.dumps(places),)):
        summary = Summary(row["turn_id"], row["items"], row["text"])
        summaries[row["organisation"], row["project"], row["turn_id"]][row["model"]] = summary
    records = [columns.turn_record(row, summaries[_place(row)]) for row in rows]
    return Page(records, json.dumps(places[-1]) if len(rows) == limit else "")


async def keep_records(writing: aiosqlite.Connection, records: Sequence[Any]) -> None:
    for record in records:
        match record:
            case TurnRecord():
                await _keep_turn(writing, record)
            case ConversationRecord(conversation, root_id):
                values = columns.begun(conversation, root_id)
                await writing.execute(_PUT_CONVERSATION, values)
            case ErasedFactRecord(organisation, project, fact_id, number):
                fact = (organisation, project, fact_id, number)
                await writing.execute(_PUT_ERASED_FACT, fact)
            case HandledRecord(number):
                await writing.execute("UPDATE erasures_handled SET number = ?", (number,))


async def _keep_turn(writing: aiosqlite.Connection, record: TurnRecord) -> None:
    at = {"organisation": record.organisation, "project": record.project, "id": record.id}
    await writing.execute(_PUT_TURN, columns.recorded(record) | at)
    for drop in _DROP_BESIDE:
        await writing.execute(drop, at)
    key = (record.organisation, record.project, record.id)
    await writing.executemany(
        _PUT_SUMMARY,
        [(*key, model, each.items, each.text) for model, each in record.summaries.items()],
    )
    kept = record.turn.kept_ids if record.turn else None
    if kept:
        await writing.execute(_PUT_KEPT_IDS, at | columns.kept(kept))
        await writing.executemany(_PUT_FACT_READ, [(*key, fact_id) for fact_id in kept.fact_ids])


def _place(row: sqlite3.Row) -> _Place:
    return row["organisation"], row["project"], row["id"]
