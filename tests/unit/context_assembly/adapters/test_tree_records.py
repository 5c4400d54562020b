"""A record of a tree is changed once, also where the database does not tell whether it was."""

from dataclasses import replace
from typing import cast

import pytest

from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.records import Records
from services.context_assembly.adapters.trees.rows import StoredRecord, Tree, TreeRows, Unknown

TREE = Tree("acme", "main", "resp_root")


class Silent:
    """Of `TreeRows`, the records. Of some writes it does not tell whether it did them."""

    def __init__(self, *, silent: int, does: bool) -> None:
        self.kept: StoredRecord | None = None
        self.writes = 0
        self._silent = silent
        self._does = does

    async def record(self, tree: Tree) -> StoredRecord | None:
        return self.kept

    certain_record = record

    async def replace_record(self, tree: Tree, new: StoredRecord) -> bool:
        self.writes += 1
        silent = self.writes <= self._silent
        if not silent or self._does:
            if new.version != (self.kept.version if self.kept else 0) + 1:
                return False
            self.kept = new
        if silent:
            raise Unknown
        return True


def gone(record: Record) -> Record | None:
    return None if record.gone else replace(record, gone=True)


@pytest.mark.parametrize(("does", "writes"), [(True, 1), (False, 3)])
async def test_a_write_of_which_nothing_is_known_is_done_once(*, does: bool, writes: int) -> None:
    rows = Silent(silent=2, does=does)
    records = Records(cast(TreeRows, rows))
    changed = await records.change(TREE, gone)
    assert changed
    assert changed.gone
    assert (rows.writes, (await records.read(TREE)).version) == (writes, 1)


async def test_a_write_that_another_was_made_upon_is_known_by_its_name() -> None:
    rows = Silent(silent=1, does=True)
    records = Records(cast(TreeRows, rows))

    async def later(tree: Tree) -> StoredRecord | None:
        """Another process has changed the record before anybody looks."""
        rows.certain_record = rows.record  # type: ignore[method-assign]
        assert await records.replace(TREE, await records.read(TREE))
        return rows.kept

    rows.certain_record = later  # type: ignore[method-assign]
    assert await records.replace(TREE, Record())
    assert (await records.read(TREE)).version == 2
