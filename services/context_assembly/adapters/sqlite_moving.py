"""The SQLite file of turns as records, and records as its rows."""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
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
from services.shared.sqlite_moving import KeyedTable, page_of, rest_after, rows_of

_Place = tuple[str, str, str]
# Of an erased turn: its words were overwritten by empty ones when it was erased.
_NOTHING_SAID = {
    "conversation_id": "",
    "created_at_ms": 0,
    "compacts": False,
    **dict.fromkeys(("person", "memory_ids", "input", "output", "document"), ""),
}
_TURNS = KeyedTable(
    f"SELECT turn.*, {KEPT} FROM turn {JOIN_KEPT}",  # noqa: S608
    ("turn.organisation", "turn.project", "turn.id"),
    # Not read by `page_of`: a turn's summaries stand in a table of their own.
    lambda row: row,
)
_TABLES = {
    ConversationRecord: KeyedTable(
        "SELECT * FROM conversation",
        ("organisation", "project", "id"),
        lambda row: ConversationRecord(columns.conversation(row), row["root_id"]),
    ),
    ErasedFactRecord: KeyedTable(
        "SELECT * FROM erased_fact",
        ("organisation", "project", "fact_id"),
        lambda row: ErasedFactRecord(*row),
    ),
    HandledRecord: KeyedTable(
        "SELECT * FROM (SELECT * FROM erasures_handled WHERE number > 0)",
        ("number",),
        lambda row: HandledRecord(*row),
    ),
}
_SUMMARIES = """
    SELECT * FROM summary
    WHERE (organisation, project, turn_id) BETWEEN (?, ?, ?) AND (?, ?, ?)
"""
_PUT_TURN = """
    INSERT OR REPLACE INTO turn (organisation, project, id, parent_id, root_id, chars, erased,
        below_erased, conversation_id, created_at_ms, person, memory_ids, input, output, compacts,
        document)
    VALUES (:organisation, :project, :id, :parent_id, :root_id, :chars, :erased, :erasures,
        :conversation_id, :created_at_ms, :person, :memory_ids, :input, :output, :compacts,
        :document)
"""
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
        return await page_of(database, _TABLES[kind], start, limit)
    rows = await rows_of(database, _TURNS, start, limit)
    if not rows:
        return Page(())
    found = await database.rows(_SUMMARIES, (*_place(rows[0]), *_place(rows[-1])))
    summaries: dict[_Place, dict[str, Summary]] = defaultdict(dict)
    for row in found:
        summary = Summary(row["turn_id"], row["items"], row["text"])
        summaries[row["organisation"], row["project"], row["turn_id"]][row["model"]] = summary
    records = [_turn_record(row, summaries[_place(row)]) for row in rows]
    return Page(records, rest_after(rows, _TURNS, limit))


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
    await writing.execute(_PUT_TURN, _turn_values(record) | at)
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


def _turn_values(record: TurnRecord) -> dict[str, Any]:
    said_in_it = columns.said(record.turn) if record.turn else _NOTHING_SAID
    return {
        **said_in_it,
        "parent_id": record.parent_id,
        "root_id": record.root_id,
        "chars": record.chars,
        "erased": record.turn is None,
        "erasures": record.erasures,
    }


def _turn_record(row: sqlite3.Row, summaries: Mapping[str, Summary]) -> TurnRecord:
    return TurnRecord(
        *_place(row),
        parent_id=row["parent_id"],
        root_id=row["root_id"],
        chars=row["chars"],
        erasures=row["below_erased"],
        turn=None if row["erased"] else columns.turn(row),
        summaries=summaries,
    )


def _place(row: sqlite3.Row) -> _Place:
    return row["organisation"], row["project"], row["id"]
