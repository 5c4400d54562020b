"""Conversations in MongoDB."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError

from services.context_assembly.adapters.mongodb_lists import MongoLists, key
from services.context_assembly.adapters.mongodb_schema import MIGRATIONS, PART
from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.record_codec import record_out
from services.context_assembly.adapters.trees.row_codec import (
    COLUMNS,
    ERASED,
    lineage_in,
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
from services.shared.errors import Unavailable
from services.shared.mongodb import (
    Database,
    Document,
    answering,
    migrate_database,
    open_database,
    set_fields,
)
from services.shared.store_url import StoreUrl

_WANTED = {reading: {"_id": 0, **dict.fromkeys(COLUMNS[reading], 1)} for reading in COLUMNS}
# What stands in the place of a record that is not there, where nobody may make one unseen.
_BLANK = Record(version=1)


@asynccontextmanager
async def open_mongodb_turns(
    url: StoreUrl, *, erased_within_seconds: float
) -> AsyncIterator[TreeTurns]:
    """Raises `CannotStart` where the database has not this release's collections.

    What is erased is gone from every read when the erasure returns. By then it is taken out of its
    documents, or is within `erased_within_seconds` where a process ended before. From the server's
    files it goes when its storage engine uses the space again, and from a replica set's log when
    that has moved on; from a backup made before it never goes.
    """
    async with open_database(url, PART, MIGRATIONS) as database:
        turns = TreeTurns(MongoRows(database))
        async with kept_up(turns, erased_within_seconds=erased_within_seconds):
            yield turns


async def migrate_mongodb_turns(url: StoreUrl) -> None:
    await migrate_database(url, PART, MIGRATIONS)


class MongoRows(MongoLists):
    """`TreeRows`: a document for a turn, one for that it is settled, and one for a tree's record.

    FerretDB reads a document, changes it and writes it back whole, and does more between. So what
    is written at the same time for different reasons stands in different documents.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._trees = database["tree"]
        self._turns = database["turn"]
        self._summaries = database["summary"]

    async def record(self, tree: Tree) -> StoredRecord | None:
        """The highest version. A lower one may stand beside it for a moment."""
        with answering():
            found = self._trees.find({"tree": key(*tree)}).sort("version", DESCENDING).limit(1)
            for each in await found.to_list():
                return StoredRecord(each["version"], each["record"])
        return None

    async def replace_record(self, tree: Tree, new: StoredRecord) -> bool:
        """Of two that make the same version, the index lets one insert it.

        Who comes late may insert a version that is over and has been deleted. Then there is a
        higher one, which tells whether it was made of this.
        """
        try:
            await self._insert(tree, new)
            latest = await self.record(tree)
            await self._forget_before(tree, latest.version if latest else 0)
        except DuplicateKeyError:
            return False
        except Unavailable:
            raise Unknown from None
        if latest is None or latest.version != new.version:
            raise Unknown
        return True

    async def certain_record(self, tree: Tree) -> StoredRecord | None:
        """Makes the next version itself: what is still on its way makes one that is over."""
        while True:
            found = await self.record(tree)
            fence = replace(found, version=found.version + 1) if found else record_out(_BLANK)
            try:
                await self._insert(tree, fence)
            except DuplicateKeyError:
                continue
            await self._forget_before(tree, fence.version)
            return fence

    async def _insert(self, tree: Tree, record: StoredRecord) -> None:
        columns = {"tree": key(*tree), "version": record.version, "record": record.text}
        with answering():
            await self._trees.insert_one({"_id": key(*tree, str(record.version)), **columns})

    async def _forget_before(self, tree: Tree, version: int) -> None:
        with answering():
            await self._trees.delete_many({"tree": key(*tree), "version": {"$lt": version}})

    async def row(self, tree: Tree, turn_id: str, reading: Reading) -> Row | None:
        with answering():
            found, settled = await asyncio.gather(
                self._turns.find_one({"_id": _turn(tree, turn_id)}, _WANTED[reading]),
                self._turns.find_one({"_id": _settled(tree, turn_id)}, {"_id": 1}),
            )
        return _row(tree, found, settled=bool(settled)) if found else None

    async def section(self, tree: Tree, place: Place, reading: Reading) -> Sequence[Row]:
        wanted = {**_section(tree, place.section), "position": {"$lte": place.position}}
        with answering():
            found = self._turns.find(wanted, _WANTED[reading]).sort("position", DESCENDING)
            documents = await found.to_list()
        rows = [each for each in documents if each["position"] >= 0]
        settled = {each["id"] for each in documents[len(rows) :]}
        return [_row(tree, each, settled=each["id"] in settled) for each in rows]

    async def put(self, tree: Tree, row: Row) -> bool:
        """The index on places is unique. One that is there keeps its place, whoever puts it again:
        turns may stand behind it.
        """
        own, columns = {"_id": _turn(tree, row.id)}, _columns(tree, row)
        at = {"section": row.section, "position": row.position}
        with answering():
            try:
                await self._turns.insert_one(own | columns)
            except DuplicateKeyError:
                await self._turns.update_one(own | at, {"$set": columns})
                return bool(await self._turns.find_one(own, {"_id": 1}))
        return True

    async def put_over(self, tree: Tree, row: Row) -> None:
        await set_fields(self._turns, {"_id": _turn(tree, row.id)}, _columns(tree, row))

    async def take_back(self, tree: Tree, row: Row) -> None:
        own = {"_id": _turn(tree, row.id), "written_at": row.written_at, "settled": False}
        with answering():
            await self._turns.delete_one(own)

    async def settle(self, tree: Tree, row: Row) -> None:
        """Its document stands in the row's section, before all rows, so that one read brings it."""
        place = {**_section(tree, row.section), "position": -1 - row.position, "id": row.id}
        with suppress(DuplicateKeyError), answering():
            await self._turns.insert_one({"_id": _settled(tree, row.id), **place})

    async def rewrite(self, tree: Tree, row: Row, version: int) -> None:
        columns = rewritten_out(row) if row.turn else dict.fromkeys(ERASED)
        earlier = {"_id": _turn(tree, row.id), "rewritten_at": {"$lt": version}}
        with answering():
            await self._turns.update_one(earlier, {"$set": columns | {"rewritten_at": version}})

    async def note_section(self, tree: Tree, section: Section) -> None:
        """The section's first turn says it."""

    async def sections(self, tree: Tree) -> Sequence[Section]:
        with answering():
            found = self._turns.find({"tree": key(*tree), "position": 0}, {"id": 1, "lineage": 1})
            return [Section(each["id"], lineage_in(each["lineage"])) async for each in found]

    async def summaries(self, tree: Tree, place: Place, model: str) -> Sequence[PlacedSummary]:
        wanted = {**_section(tree, place.section), "model": model}
        with answering():
            found = self._summaries.find(wanted | {"position": {"$lte": place.position}})
            return [_summary(each) async for each in found]

    async def all_summaries(self, tree: Tree, section: str) -> Sequence[tuple[str, PlacedSummary]]:
        with answering():
            found = self._summaries.find(_section(tree, section))
            return [(each["model"], _summary(each)) async for each in found]

    async def keep_summary(
        self, tree: Tree, section: str, model: str, placed: PlacedSummary
    ) -> None:
        kept = placed.summary
        columns = {
            **_section(tree, section),
            "model": model,
            "position": placed.position,
            "erasures": placed.erasures,
            "turn_id": kept.turn_id,
            "items": kept.items,
            "body": kept.text,
        }
        await set_fields(
            self._summaries, {"_id": _summary_id(tree, section, model, placed)}, columns
        )

    async def erase_summary(
        self, tree: Tree, section: str, model: str, placed: PlacedSummary
    ) -> None:
        with answering():
            await self._summaries.delete_one({"_id": _summary_id(tree, section, model, placed)})

    async def trees(self, after: Tree | None, limit: int) -> Sequence[Tree]:
        roots: Document = {"parent_id": ""}
        if after:
            roots["_id"] = {"$gt": key(*after)}
        with answering():
            found = self._turns.find(roots, {"_id": 1}).sort("_id", ASCENDING).limit(limit)
            return [Tree(*json.loads(each["_id"])) async for each in found]


def _turn(tree: Tree, turn_id: str) -> str:
    return key(tree.organisation, tree.project, turn_id)


def _settled(tree: Tree, turn_id: str) -> str:
    return key(tree.organisation, tree.project, turn_id, "settled")


def _row(tree: Tree, found: Document, *, settled: bool) -> Row:
    row = row_in(tree, found)
    return replace(row, settled=True) if settled else row


def _columns(tree: Tree, row: Row) -> Document:
    return {"tree": key(*tree), **row_out(row), "rewritten_at": 0}


def _section(tree: Tree, section: str) -> Document:
    return {"tree": key(*tree), "section": section}


def _summary_id(tree: Tree, section: str, model: str, placed: PlacedSummary) -> str:
    """One that was made after an erasure is another document than the one from before."""
    return key(*tree, section, model, str(placed.position), str(placed.erasures))


def _summary(found: Document) -> PlacedSummary:
    kept = Summary(found["turn_id"], found["items"], found["body"])
    return PlacedSummary(found["position"], found["erasures"], kept)
