"""The tables of turns in PostgreSQL as records, and records as their rows."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from services.context_assembly.adapters import columns
from services.context_assembly.ports import (
    ConversationRecord,
    ErasedFactRecord,
    HandledRecord,
    Summary,
    TurnRecord,
)
from services.shared.keyed_tables import KeyedTable
from services.shared.moving import Page
from services.shared.postgres import EVERY_ORGANISATION, PostgresDatabase, Transaction

_Place = tuple[str, str, str]
_NOTHING_SAID = {
    "conversation_id": "",
    "created_at_ms": 0,
    "compacts": False,
    **dict.fromkeys(("person", "memory_ids", "input", "output", "document"), ""),
}
# How many trees are looked at for a page.
_TREES = 10
# Tree by tree, and in a tree by depth, so that none comes before its parent.
_TURNS = """
    WITH RECURSIVE trees AS MATERIALIZED (
        SELECT organisation, project, id FROM turn
        WHERE parent_id = '' AND (organisation, project, id)
            >= (%(organisation)s, %(project)s, %(root_id)s)
        ORDER BY organisation, project, id LIMIT %(trees)s
    ), walked (organisation, project, root_id, depth, id) AS (
        SELECT organisation, project, id, 0, id FROM trees
        UNION ALL
        SELECT turn.organisation, turn.project, walked.root_id, depth + 1, turn.id
        FROM walked JOIN turn ON turn.organisation = walked.organisation
            AND turn.project = walked.project AND turn.parent_id = walked.id
    ), page AS (
        SELECT * FROM walked
        WHERE (organisation, project, root_id, depth, id)
            > (%(organisation)s, %(project)s, %(root_id)s, %(depth)s, %(id)s)
        ORDER BY organisation, project, root_id, depth, id LIMIT %(limit)s
    )
    SELECT turn.*, depth, kept_ids.model AS kept_model, kept_ids.inherited AS kept_inherited,
        kept_ids.ids AS kept_ids, kept_ids.fact_ids AS kept_fact_ids,
        kept_ids.erasures_known AS kept_erasures_known
    FROM page JOIN turn USING (organisation, project, id)
    LEFT JOIN kept_ids ON kept_ids.organisation = turn.organisation
        AND kept_ids.project = turn.project AND kept_ids.turn_id = turn.id
    ORDER BY turn.organisation, turn.project, turn.root_id, depth, turn.id
"""
_SUMMARIES = """
    SELECT summary.*
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (organisation, project, turn_id)
    JOIN summary USING (organisation, project, turn_id)
"""
_BEGINNING = {"organisation": "", "project": "", "root_id": "", "depth": -1, "id": ""}
_TABLES = {
    ConversationRecord: KeyedTable(
        "SELECT * FROM conversation",
        ("organisation", "project", "id"),
        lambda row: ConversationRecord(columns.conversation(row), row["root_id"]),
        mark="%s",
    ),
    ErasedFactRecord: KeyedTable(
        "SELECT * FROM erased_fact",
        ("organisation", "project", "fact_id"),
        lambda row: ErasedFactRecord(
            *(row["organisation"], row["project"]), row["fact_id"], row["number"]
        ),
        mark="%s",
    ),
    HandledRecord: KeyedTable(
        "SELECT * FROM (SELECT * FROM erasures_handled WHERE number > 0) AS handled",
        ("number",),
        lambda row: HandledRecord(row["number"]),
        mark="%s",
    ),
}


def _upsert(table: str, key: str, rest: str) -> str:
    names = (*key.split(), *rest.split())
    values = ", ".join(f"%({each})s" for each in names)
    changes = ", ".join(f"{each} = excluded.{each}" for each in rest.split())
    return f"""
        INSERT INTO {table} ({", ".join(names)}) VALUES ({values})
        ON CONFLICT ({", ".join(key.split())}) DO UPDATE SET {changes}
    """  # noqa: S608


_PUT_TURN = _upsert(
    "turn",
    "organisation project id",
    "parent_id root_id chars erased below_erased conversation_id created_at_ms person memory_ids"
    " input output compacts document",
)
_PUT_SUMMARY = _upsert("summary", "organisation project turn_id model", "items text")
_PUT_KEPT_IDS = _upsert(
    "kept_ids", "organisation project turn_id", "model inherited fact_ids erasures_known ids"
)
_PUT_CONVERSATION = _upsert(
    "conversation", "organisation project id", "root_id head created_at_ms person metadata"
)
_PUT_ERASED_FACT = _upsert("erased_fact", "organisation project fact_id", "number")
_PUT_FACTS_READ = """
    INSERT INTO fact_read (organisation, project, turn_id, fact_id)
    SELECT %(organisation)s, %(project)s, %(turn_id)s, fact_id
    FROM unnest(%(facts)s::text[]) AS fact_id ON CONFLICT DO NOTHING
"""
_DROP_BESIDE = [
    f"""
    DELETE FROM {table} WHERE organisation = %(organisation)s AND project = %(project)s
        AND turn_id = %(id)s
    """  # noqa: S608
    for table in ("summary", "kept_ids", "fact_read")
]


async def read_records(database: PostgresDatabase, kind: type, start: str, limit: int) -> Page[Any]:
    if kind is TurnRecord:
        return await _turns(database, start, limit)
    table = _TABLES[kind]
    rows = await database.run(EVERY_ORGANISATION, *table.statement(start, limit))
    return table.page(rows, limit)


async def _turns(database: PostgresDatabase, start: str, limit: int) -> Page[Any]:
    """Only an empty page is the last: how many trees were looked at is not known here."""
    after = json.loads(start) if start else _BEGINNING
    values = {**after, "limit": limit, "trees": _TREES}
    rows = await database.run(EVERY_ORGANISATION, _TURNS, values)
    if not rows:
        return Page(())
    wanted = [*map(list, zip(*map(_place, rows), strict=True))]
    summaries: dict[_Place, dict[str, Summary]] = defaultdict(dict)
    for row in await database.run(EVERY_ORGANISATION, _SUMMARIES, wanted):
        summary = Summary(row["turn_id"], row["items"], row["text"])
        summaries[row["organisation"], row["project"], row["turn_id"]][row["model"]] = summary
    records = [_turn_record(row, summaries[_place(row)]) for row in rows]
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
                fact = place | {"fact_id": fact_id, "number": number}
                await writing.queue(_PUT_ERASED_FACT, fact)
            case HandledRecord(number):
                await writing.queue("UPDATE erasures_handled SET number = %s", (number,))


async def _keep_turn(writing: Transaction, record: TurnRecord) -> None:
    place = {"organisation": record.organisation, "project": record.project}
    at = place | {"id": record.id, "turn_id": record.id}
    await writing.queue(_PUT_TURN, _turn_values(record) | at)
    for drop in _DROP_BESIDE:
        await writing.queue(drop, at)
    for model, summary in record.summaries.items():
        values = {"model": model, "items": summary.items, "text": summary.text}
        await writing.queue(_PUT_SUMMARY, at | values)
    kept = record.turn.kept_ids if record.turn else None
    if kept:
        await writing.queue(_PUT_KEPT_IDS, at | columns.kept(kept))
        await writing.queue(_PUT_FACTS_READ, at | {"facts": [*kept.fact_ids]})


def _turn_values(record: TurnRecord) -> dict[str, Any]:
    return {
        **(columns.said(record.turn) if record.turn else _NOTHING_SAID),
        "parent_id": record.parent_id,
        "root_id": record.root_id,
        "chars": record.chars,
        "erased": record.turn is None,
        "below_erased": record.erasures,
    }


def _turn_record(row: DictRow, summaries: Mapping[str, Summary]) -> TurnRecord:
    return TurnRecord(
        *_place(row),
        parent_id=row["parent_id"],
        root_id=row["root_id"],
        chars=row["chars"],
        erasures=row["below_erased"],
        turn=None if row["erased"] else columns.turn(row),
        summaries=summaries,
    )


def _place(row: DictRow) -> _Place:
    return row["organisation"], row["project"], row["id"]
