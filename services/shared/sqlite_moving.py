"""Reads a table of an SQLite file page by page, for `Movable`."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from services.shared.moving import Page
from services.shared.sqlite import Database
from services.shared.table_pages import KeyedTable


async def page_of(database: Database, table: KeyedTable, start: str, limit: int) -> Page[Any]:
    rows = await rows_of(database, table, start, limit)
    return Page([*map(table.record, rows)], table.rest_after(rows, limit))


async def rows_of(
    database: Database, table: KeyedTable, start: str, limit: int
) -> Sequence[sqlite3.Row]:
    return await database.rows(*table.page(start, limit, place="?"))
