"""Reads a table of an SQL database page by page, for `Movable`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.shared.moving import Page


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """Rows in the order of their key; `select` has no WHERE of its own."""

    select: str
    key: Sequence[str]
    record: Callable[[Any], Any]
    # How the database's driver marks a value in a statement.
    mark: str = "?"

    def statement(self, start: str, limit: int) -> tuple[str, Sequence[str | int]]:
        after: list[str | int] = json.loads(start) if start else []
        columns, marks = ", ".join(self.key), ", ".join([self.mark] * len(after))
        behind = f"WHERE ({columns}) > ({marks})" if after else ""
        return f"{self.select} {behind} ORDER BY {columns} LIMIT {self.mark}", (*after, limit)

    def page(self, rows: Sequence[Any], limit: int) -> Page[Any]:
        if len(rows) < limit:
            return Page([*map(self.record, rows)])
        rest = json.dumps([rows[-1][column] for column in self.key])
        return Page([*map(self.record, rows)], rest)
