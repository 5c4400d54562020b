"""The turns in PostgreSQL as records, and records as its rows."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from services.context_assembly.adapters import columns
from services.context_assembly.adapters.postgres_sql import SUMMARIES, TURNS
from services.context_assembly.ports import (
    ConversationRecord,
    ErasedFactRecord,
    HandledRecord,
    Summary,
    TurnRecord,
)
from services.shared.moving import Page
from services.shared.postgres import EVERY_ORGANISATION, PostgresDatabase, Transaction
from services.shared.postgres_moving import page_of, put

_Place = tuple[str, str, str]
_KEY = ("organisation", "project", "id")
_BEGINNING = {"organisation": "", "project": "", "root_id": "", "depth": -1, "id": ""}
# How many trees are looked at for a page.
_TREES = 10
_WORDS = ("person", "memory_ids", "input", "output", "document")
_PUT_TURN = put(
    "turn",
    _KEY,
    [
        *("parent_id", "root_id", "chars", "erased", "below_erased", "conversation_id"),
        *("created_at_ms", "compacts", *_WORDS),
    ],
)
_PUT_SUMMARY = put("summary", ["organisation", "project", "turn_id", "model"], ["items", "text"])
_PUT_KEPT_IDS = put(
    "kept_ids",
    ["organisation", "project", "turn_id"],
    ["model", "inherited", "fact_ids", "erasures_known", "ids"],
)
_PUT_FACTS_READ = """
    INSERT INTO fact_read (organisation, project, turn_id, fact_id)
    SELECT DISTINCT %(organisation)s, %(project)s, %(turn_id)s, fact_id
    FROM unnest(%(facts)s::text[]) AS fact_id
"""
_DROP_BESIDE = [
    f"DELETE FROM {table} WHERE organisation = %(organisation)s AND project = %(project)s"  # noqa: S608
    " AND turn_id = %(id)s"
    for table in ("summary", "kept_ids", "fact_read")
]
_PUT_CONVERSATION = put(
    "conversation", _KEY, ["root_id", "head", "created_at_ms", "person", "metadata"]
)
_PUT_ERASED_FACT = put("erased_fact", ["organisation", "project", "fact_id"], ["number"])


async def read_records(database: PostgresDatabase, kind: type, start: str, limit: int) -> Page[Any]:
    if kind is not TurnRecord:
        return await page_of(database, columns.TABLES[kind], start, limit)
    values = {**(json.loads(start) if start else _BEGINNING), "limit": limit, "trees": _TREES}
    rows = await database.run(EVERY_ORGANISATION, TURNS, values)
    # Only an empty page is the last: how many trees were looked at is not known here.
    if not rows:
        return Page(())
    wanted = [*map(list, zip(*map(_place, rows), strict=True))]
    summaries: dict[_Place, dict[str, Summary]] = defaultdict(dict)
    for row in await database.run(EVERY_ORGANISATION, SUMMARIES, wanted):
        summary = Summary(row["turn_id"], row["items"], row["text"])
        summaries[row["organisation"], row["project"], row["turn_id"]][row["model"]] = summary
    records = [columns.turn_record(row, summaries[_place(row)]) for row in rows]
    return Page(records, json.dumps({name: rows[-1][name] for name in _BEGINNING}))


async def keep_records(writing: Transaction, records: Sequence[Any]) -> None:
    for record in records:
        match record:
            case TurnRecord():
                await _keep_turn(writing, record)
            case ConversationRecord(conversation, root_id):
                await writing.queue(_PUT_CONVERSATION, columns.begun(conversation, root_id))
            case ErasedFactRecord(organisation, project, fact_id, number):
                place = {"organisation": organisation, "project": project}
                fact = {"fact_id": fact_id, "number": number}
                await writing.queue(_PUT_ERASED_FACT, place | fact)
            case HandledRecord(number):
                await writing.queue("UPDATE erasures_handled SET number = %s", (number,))


async def _keep_turn(writing: Transaction, record: TurnRecord) -> None:
    at = {"organisation": record.organisation, "project": record.project, "id": record.id}
    await writing.queue(_PUT_TURN, columns.recorded(record) | at)
    for drop in _DROP_BESIDE:
        await writing.queue(drop, at)
    beside: Mapping[str, Any] = at | {"turn_id": record.id}
    for model, summary in record.summaries.items():
        told = {"model": model, "items": summary.items, "text": summary.text}
        await writing.queue(_PUT_SUMMARY, {**beside, **told})
    kept = record.turn.kept_ids if record.turn else None
    if kept:
        await writing.queue(_PUT_KEPT_IDS, {**beside, **columns.kept(kept)})
        await writing.queue(_PUT_FACTS_READ, {**beside, "facts": [*kept.fact_ids]})


def _place(row: DictRow) -> _Place:
    return row["organisation"], row["project"], row["id"]
