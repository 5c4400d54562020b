"""Conversations in Cassandra."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from cassandra.query import UNSET_VALUE

from services.context_assembly.adapters.cassandra_lists import CassandraLists
from services.context_assembly.adapters.cassandra_schema import MIGRATIONS, PART
from services.context_assembly.adapters.trees.row_codec import (
    COLUMNS,
    ERASED,
    REWRITTEN,
    lineage_in,
    lineage_out,
    rewritten_out,
    row_in,
    row_out,
)
from services.context_assembly.adapters.trees.rows import (
    Place,
    PlacedSummary,
    Reading,
    Row,
    Section,
    StoredRecord,
    Tree,
    Unknown,
)
from services.context_assembly.adapters.trees.turns import TreeTurns, kept_up
from services.context_assembly.ports import Summary
from services.shared.cassandra import Keyspace, Undecided, migrate_keyspace, open_keyspace
from services.shared.store_url import StoreUrl

_TREE = "organisation = ? AND project = ? AND root = ?"
_SECTION = f"{_TREE} AND section = ?"
_RECORD = f"SELECT version, record FROM tree WHERE {_TREE}"
_BEGIN_RECORD = """
    INSERT INTO tree (version, record, organisation, project, root) VALUES (?, ?, ?, ?, ?)
    IF NOT EXISTS
"""
_SET_RECORD = f"UPDATE tree SET version = ?, record = ? WHERE {_TREE} IF version = ?"
_PLACE = """
    SELECT section, position FROM turn_place WHERE organisation = ? AND project = ? AND id = ?
"""
_SET_PLACE = """
    INSERT INTO turn_place (organisation, project, id, section, position) VALUES (?, ?, ?, ?, ?)
    USING TIMESTAMP ?
"""
_DROP_PLACE = """
    DELETE FROM turn_place USING TIMESTAMP ? WHERE organisation = ? AND project = ? AND id = ?
"""
_ROW = {
    reading: f"SELECT {', '.join(columns)} FROM turn WHERE {_SECTION} AND position = ? AND id = ?"
    for reading, columns in COLUMNS.items()
}
_ROWS = {
    reading: f"SELECT {', '.join(columns)} FROM turn WHERE {_SECTION} AND position <= ?"
    for reading, columns in COLUMNS.items()
}
_COLUMNS = ["organisation", "project", "root", *COLUMNS[Reading.WHOLE]]
_PUT = f"""
    INSERT INTO turn ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" * len(_COLUMNS))})
    USING TIMESTAMP ?
"""
_AT = f"SELECT id FROM turn WHERE {_SECTION} AND position = ?"
_ONE = f"{_SECTION} AND position = ? AND id = ?"
_DROP = f"DELETE FROM turn USING TIMESTAMP ? WHERE {_ONE}"
_SETTLE = f"UPDATE turn SET settled = true WHERE {_ONE}"
_REWRITE = f"""
    UPDATE turn USING TIMESTAMP ? SET {", ".join(f"{each} = ?" for each in REWRITTEN)}
    WHERE {_ONE}
"""
_ERASE = f"DELETE {', '.join(ERASED)} FROM turn USING TIMESTAMP ? WHERE {_ONE}"
_NOTE_SECTION = """
    INSERT INTO tree_section (organisation, project, root, section, lineage) VALUES (?, ?, ?, ?, ?)
"""
_SECTIONS = f"SELECT section, lineage FROM tree_section WHERE {_TREE}"
_SUMMARIES = f"""
    SELECT position, erasures, turn_id, items, body FROM summary
    WHERE {_SECTION} AND model = ? AND position <= ?
"""
_ALL_SUMMARIES = f"""
    SELECT model, position, erasures, turn_id, items, body FROM summary WHERE {_SECTION}
"""
_KEEP_SUMMARY = """
    INSERT INTO summary (organisation, project, root, section, model, position, erasures, turn_id,
        items, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ERASE_SUMMARY = f"DELETE FROM summary WHERE {_SECTION} AND model = ? AND position = ?"
_STATEMENTS = [
    *(_RECORD, _BEGIN_RECORD, _SET_RECORD, _PLACE, _SET_PLACE, _DROP_PLACE, _PUT, _AT, _DROP),
    *(_SETTLE, _REWRITE, _ERASE, _NOTE_SECTION, _SECTIONS, _SUMMARIES, _ALL_SUMMARIES),
    *(_KEEP_SUMMARY, _ERASE_SUMMARY),
    *chain(_ROW.values(), _ROWS.values()),
]


@asynccontextmanager
async def open_cassandra_turns(
    url: StoreUrl, *, erased_within_seconds: float
) -> AsyncIterator[TreeTurns]:
    """Raises `CannotStart` where the keyspace has not this release's tables.

    What is erased is gone from every read when the erasure returns. By then it is overwritten with
    tombstones, or is within `erased_within_seconds` where a process ended before. From the nodes'
    files it goes when Cassandra compacts them, after `gc_grace_seconds` of the table (10 days,
    unless the operator says otherwise); from a snapshot or a backup made before it never goes.
    """
    async with open_keyspace(url, PART, MIGRATIONS) as keyspace:
        rows = CassandraRows(keyspace)
        await rows.prepare()
        async with kept_up(TreeTurns(rows), erased_within_seconds=erased_within_seconds) as turns:
            yield turns


async def migrate_cassandra_turns(url: StoreUrl) -> None:
    await migrate_keyspace(url, PART, MIGRATIONS)


class CassandraRows(CassandraLists):
    """`TreeRows`.

    A row is written with the time of its writing, and rewritten with that and the record's version:
    a later rewriting stands, in whichever order they arrive.
    """

    def __init__(self, keyspace: Keyspace) -> None:
        super().__init__(keyspace)
        self._keyspace = keyspace

    async def prepare(self) -> None:
        await super().prepare()
        await self._keyspace.prepare(_STATEMENTS)

    async def record(self, tree: Tree) -> StoredRecord | None:
        return _record(await self._keyspace.rows(_RECORD, tree))

    async def certain_record(self, tree: Tree) -> StoredRecord | None:
        return _record(await self._keyspace.rows(_RECORD, tree, serial=True))

    async def replace_record(self, tree: Tree, new: StoredRecord) -> bool:
        values = (new.version, new.text, *tree)
        try:
            if new.version > 1:
                return await self._keyspace.applied(_SET_RECORD, (*values, new.version - 1))
            return await self._keyspace.applied(_BEGIN_RECORD, values)
        except Undecided:
            raise Unknown from None

    async def row(self, tree: Tree, turn_id: str, reading: Reading) -> Row | None:
        places = await self._keyspace.rows(_PLACE, (tree.organisation, tree.project, turn_id))
        for place in places:
            found = await self._keyspace.rows(_ROW[reading], (*tree, *place, turn_id))
            return _row(tree, found[0]) if found else None
        return None

    async def section(self, tree: Tree, place: Place, reading: Reading) -> Sequence[Row]:
        found = await self._keyspace.rows(_ROWS[reading], (*tree, *place))
        rows = [row for row in (_row(tree, each) for each in found) if row]
        standing = Counter(row.position for row in rows)
        return [row for row in rows if standing[row.position] == 1 or await self._stands(tree, row)]

    async def _stands(self, tree: Tree, row: Row) -> bool:
        """False: another turn has its place. Who has written it leaves, or has ended before."""
        named = (tree.organisation, tree.project, row.id)
        places = await self._keyspace.rows(_PLACE, named)
        return any(tuple(each) == row.place for each in places)

    async def put(self, tree: Tree, row: Row) -> bool:
        columns = tree._asdict() | row_out(row)
        # One that is settled stays so, whoever writes it again.
        columns["settled"] = row.settled or UNSET_VALUE
        await self._put(row, columns)
        if row.position and not await self._has_place(tree, row):
            await self._keyspace.rows(_DROP, (row.written_at, *tree, *row.place, row.id))
            return False
        await self._set_place(tree, row)
        return True

    async def put_over(self, tree: Tree, row: Row) -> None:
        await self._put(row, tree._asdict() | row_out(row))
        await self._set_place(tree, row)

    async def _put(self, row: Row, columns: Mapping[str, Any]) -> None:
        values = [columns.get(name, UNSET_VALUE) for name in _COLUMNS]
        await self._keyspace.rows(_PUT, (*values, row.written_at))

    async def _set_place(self, tree: Tree, row: Row) -> None:
        place = (tree.organisation, tree.project, row.id, *row.place, row.written_at)
        await self._keyspace.rows(_SET_PLACE, place)

    async def _has_place(self, tree: Tree, row: Row) -> bool:
        """Of two that write at once, at least one sees the other, and leaves."""
        found = await self._keyspace.rows(_AT, (*tree, *row.place))
        return all(each.id == row.id for each in found)

    async def take_back(self, tree: Tree, row: Row) -> None:
        place = (row.written_at, tree.organisation, tree.project, row.id)
        await self._keyspace.rows(_DROP_PLACE, place)
        await self._keyspace.rows(_DROP, (row.written_at, *tree, *row.place, row.id))

    async def settle(self, tree: Tree, row: Row) -> None:
        await self._keyspace.rows(_SETTLE, (*tree, *row.place, row.id))

    async def rewrite(self, tree: Tree, row: Row, version: int) -> None:
        at, where = row.written_at + version, (*tree, *row.place, row.id)
        if row.turn is None:
            await self._keyspace.rows(_ERASE, (at, *where))
            return
        columns = rewritten_out(row)
        await self._keyspace.rows(_REWRITE, (at, *(columns[name] for name in REWRITTEN), *where))

    async def note_section(self, tree: Tree, section: Section) -> None:
        values = (*tree, section.id, lineage_out(section.lineage))
        await self._keyspace.rows(_NOTE_SECTION, values)

    async def sections(self, tree: Tree) -> Sequence[Section]:
        found = await self._keyspace.rows(_SECTIONS, tree)
        return [Section(each.section, lineage_in(each.lineage)) for each in found]

    async def summaries(self, tree: Tree, place: Place, model: str) -> Sequence[PlacedSummary]:
        values = (*tree, place.section, model, place.position)
        return [*map(_summary, await self._keyspace.rows(_SUMMARIES, values))]

    async def all_summaries(self, tree: Tree, section: str) -> Sequence[tuple[str, PlacedSummary]]:
        found = await self._keyspace.rows(_ALL_SUMMARIES, (*tree, section))
        return [(each.model, _summary(each)) for each in found]

    async def keep_summary(
        self, tree: Tree, section: str, model: str, placed: PlacedSummary
    ) -> None:
        kept = placed.summary
        place = (*tree, section, model, placed.position)
        values = (placed.erasures, kept.turn_id, kept.items, kept.text)
        await self._keyspace.rows(_KEEP_SUMMARY, (*place, *values))

    async def erase_summary(
        self, tree: Tree, section: str, model: str, placed: PlacedSummary
    ) -> None:
        await self._keyspace.rows(_ERASE_SUMMARY, (*tree, section, model, placed.position))


def _record(found: Sequence[Any]) -> StoredRecord | None:
    for row in found:
        return StoredRecord(row.version, row.record)
    return None


def _row(tree: Tree, found: Any) -> Row | None:
    """None: the row has been taken back while it was settled or rewritten."""
    return row_in(tree, found._asdict()) if found.parent_id is not None else None


def _summary(found: Any) -> PlacedSummary:
    kept = Summary(found.turn_id, found.items, found.body)
    return PlacedSummary(found.position, found.erasures, kept)
