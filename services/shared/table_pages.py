"""A table that is read page by page, for `Movable`, in any SQL database."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """Rows in the order of their key, whose columns have the table's name where others have it."""

    select: str
    key: Sequence[str]
    # Of a row, which is read by the names of its columns.
    record: Callable[[Any], Any]

    def page(self, start: str, limit: int, *, place: str) -> tuple[str, Sequence[str | int]]:
        """The statement for a page, with `place` where each of the values goes, and the values."""
        columns = ", ".join(self.key)
        after: list[str | int] = json.loads(start) if start else []
        places = ", ".join([place] * len(after))
        behind = f"WHERE ({columns}) > ({places})" if after else ""
        return f"{self.select} {behind} ORDER BY {columns} LIMIT {place}", (*after, limit)

    def rest_after(self, rows: Sequence[Any], limit: int) -> str:
        """Where the page after these rows begins; empty: there is none."""
        if len(rows) < limit:
            return ""
        return json.dumps([rows[-1][column.rpartition(".")[2]] for column in self.key])
