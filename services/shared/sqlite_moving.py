"""Reads a table of an SQLite file page by page, for `Movable`."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.shared.moving import Page
from services.shared.sqlite import Database


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """Rows in the order of their key, whose columns have the table's name where others have it."""

    select: str
    key: Sequence[str]
    record: Callable[[sqlite3.Row], Any]


async def page_of(database: Database, table: KeyedTable, start: str, limit: int) -> Page[Any]:
    rows = await rows_of(database, table, start, limit)
    return Page([*map(table.record, rows)], rest_after(rows, table, limit))


async def rows_of(
    database: Database, table: KeyedTable, start: str, limit: int
) -> Sequence[sqlite3.Row]:
    columns = ", ".join(table.key)
    after: list[str | int] = json.loads(start) if start else []
    places = ", ".join("?" * len(after))
    behind = f"WHERE ({columns}) > ({places})" if after else ""
    sql = f"{table.select} {behind} ORDER BY {columns} LIMIT ?"
    return await database.rows(sql, (*after, limit))


def rest_after(rows: Sequence[sqlite3.Row], table: KeyedTable, limit: int) -> str:
    if len(rows) < limit:
        return ""
    return json.dumps([rows[-1][column.rpartition(".")[2]] for column in table.key])
