"""The records of trees: read, and changed by comparing and setting."""

import secrets
from collections.abc import Callable

from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.record_codec import record_in, record_out
from services.context_assembly.adapters.trees.rows import Tree, TreeRows, Unknown


class Records:
    def __init__(self, rows: TreeRows) -> None:
        self._rows = rows

    async def read(self, tree: Tree) -> Record:
        return record_in(tree, await self._rows.record(tree))

    async def replace(self, tree: Tree, changed: Record) -> bool:
        """With a record that was read, and changed since. False: another has changed it meanwhile.

        Where the database did not tell whether it was done, the record does: it names its last
        writes. Nothing is tried again before that is known.
        """
        write = secrets.token_hex(8)
        try:
            return await self._rows.replace_record(tree, record_out(changed.next(write)))
        except Unknown:
            found = record_in(tree, await self._rows.certain_record(tree))
            return write in found.writes

    async def change(self, tree: Tree, change: Callable[[Record], Record | None]) -> Record | None:
        """The record after `change`, which may be asked several times; None: it wants nothing."""
        while True:
            new = change(await self.read(tree))
            if new is None:
                return None
            if await self.replace(tree, new):
                return new.next("")
