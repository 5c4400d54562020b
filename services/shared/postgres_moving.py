"""Reads a table of PostgreSQL page by page, and puts rows into it, for `Movable`."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import DictRow

from services.shared.moving import Page
from services.shared.postgres import EVERY_ORGANISATION, PostgresDatabase
from services.shared.table_pages import KeyedTable


async def page_of(
    database: PostgresDatabase, table: KeyedTable, start: str, limit: int
) -> Page[Any]:
    rows = await rows_of(database, table, start, limit)
    return Page([*map(table.record, rows)], table.rest_after(rows, limit))


async def rows_of(
    database: PostgresDatabase, table: KeyedTable, start: str, limit: int
) -> Sequence[DictRow]:
    return await database.run(EVERY_ORGANISATION, *table.page(start, limit, place="%s"))


def put(table: str, key: Sequence[str], others: Sequence[str]) -> str:
    """A statement that keeps a row in the place of the one with its key, by columns' names."""
    names = [*key, *others]
    values = ", ".join(f"%({name})s" for name in names)
    new = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"""
        INSERT INTO {table} ({", ".join(names)}) VALUES ({values})
        ON CONFLICT ({", ".join(key)}) DO UPDATE SET {new}
    """  # noqa: S608
