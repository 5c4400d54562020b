"""A `TurnStore` that keeps each tree in places of its own, over rows that change one at a time."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from services.context_assembly.adapters.reach import unread
from services.context_assembly.adapters.trees.adding import Adder
from services.context_assembly.adapters.trees.cleaning import Cleaner
from services.context_assembly.adapters.trees.erasing import Eraser
from services.context_assembly.adapters.trees.fact_erasing import FactEraser
from services.context_assembly.adapters.trees.moving import TreeReader, TreeWriter
from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.records import Records
from services.context_assembly.adapters.trees.rows import (
    Noted,
    Place,
    PlacedSummary,
    Reading,
    Row,
    Tree,
    TreeRows,
)
from services.context_assembly.adapters.trees.ways import Ways, above
from services.context_assembly.api import Paging, StoredConversation, Turn
from services.context_assembly.ports import PastTurn, Path, Stretch, Summary
from services.memory.api import Erasure
from services.shared.background import every, in_background
from services.shared.ids import first_turn_of, root_of
from services.shared.moving import Page
from services.shared.moving import Record as RecordType
from services.shared.scope import Scope

# How far `erasures_handled` may lag behind what another process has handled.
_FOLLOWED_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Read:
    """The rows of a path, the last first."""

    rows: Sequence[Row]
    summary: Summary | None


class TreeTurns:
    """A `TurnStore`, and `Movable`."""

    def __init__(self, rows: TreeRows) -> None:
        self._rows = rows
        self._records = Records(rows)
        self._ways = Ways(rows)
        self._cleaner = Cleaner(rows, self._records)
        self._adder = Adder(rows, self._records, self._ways, self._cleaner)
        self._eraser = Eraser(rows, self._records, self._ways, self._cleaner)
        self._facts = FactEraser(rows, self._records, self._ways, self._cleaner)
        self._reader = TreeReader(rows, self._records)
        self._writer = TreeWriter(rows, self._records, self._ways, self._adder)

    async def path(self, scope: Scope, turn_id: str, model: str, max_chars: int) -> Path | None:
        tree = tree_of(scope, turn_id)
        record, leaf = await self._found(tree, turn_id, Reading.PLACE)
        if not record.holds(leaf):
            return None
        lineage = await self._ways.lineage(tree, record, leaf.place)
        read, root = await asyncio.gather(
            self._read(tree, record, leaf, lineage, model=model, max_chars=max_chars),
            self._root(tree, record, leaf),
        )
        first = read.rows[-1]
        return Path(
            turns=[_past(row.turn) for row in reversed(read.rows) if row.turn],
            summary=read.summary,
            root=_root_of(first, root),
            cut=bool(first.parent_id) and read.summary is None and not first.compacts,
            erasures_above=record.erasures_above(leaf, lineage),
        )

    async def _read(
        self,
        tree: Tree,
        record: Record,
        leaf: Row,
        lineage: Sequence[Place],
        *,
        model: str,
        max_chars: int,
    ) -> _Read:
        far = unread(leaf.chars, max_chars)
        rows: list[Row] = []
        at: Place | None = leaf.place
        while at:
            section, summaries = await asyncio.gather(
                self._rows.section(tree, at, Reading.PAST),
                self._rows.summaries(tree, at, model),
            )
            for kept in section:
                if rows and kept.chars <= far:
                    return _Read(rows, None)
                row = record.shown(kept, lineage)
                rows.append(row)
                summary = _read_of(summaries, row, record.erasures_above(row, lineage))
                if summary or row.compacts:
                    return _Read(rows, summary)
            at = above(section)
        return _Read(rows, None)

    async def _root(self, tree: Tree, record: Record, leaf: Row) -> Row | None:
        """The tree's first turn, where the leaf's own section does not bring it."""
        if leaf.section == tree.root and leaf.position == 0:
            return None
        (root,) = await self._rows.section(tree, Place(tree.root, 0), Reading.PAST) or (None,)
        return root and record.shown(root, ())

    async def add(self, turn: Turn) -> bool:
        return await self._adder.add(turn)

    async def get(self, scope: Scope, turn_id: str) -> Turn | None:
        tree = tree_of(scope, turn_id)
        record, row = await self._found(tree, turn_id, Reading.WHOLE)
        if not record.holds(row):
            return None
        return record.shown(row, await self._ways.lineage(tree, record, row.place)).turn

    async def erase(self, scope: Scope, turn_id: str) -> bool:
        return await self._eraser.erase(tree_of(scope, turn_id), turn_id)

    async def erase_item(self, scope: Scope, turn_id: str, item_id: str) -> bool:
        return await self._eraser.erase_item(tree_of(scope, turn_id), turn_id, item_id)

    async def erase_tree(self, scope: Scope, conversation_id: str) -> bool:
        tree = _tree_of_conversation(scope, conversation_id)
        return await self._eraser.erase_tree(tree, conversation_id)

    async def start(self, conversation: StoredConversation, first: Turn) -> None:
        await self._adder.start(conversation, first)

    async def conversation(self, scope: Scope, conversation_id: str) -> StoredConversation | None:
        tree = _tree_of_conversation(scope, conversation_id)
        return _named(await self._records.read(tree), conversation_id)

    async def conversations(
        self, scope: Scope, paging: Paging
    ) -> Sequence[StoredConversation] | None:
        after = None
        if paging.after:
            known = await self.conversation(scope, paging.after)
            if known is None:
                return None
            after = Noted(known.created_at_ms, known.id)
        found: list[StoredConversation] = []
        while len(found) < paging.limit:
            wanted = paging.limit - len(found)
            noted = await self._rows.noted_conversations(
                scope, after, wanted, newest_first=paging.newest_first
            )
            read = await asyncio.gather(*(self.conversation(scope, each.id) for each in noted))
            found += [each for each in read if each]
            if len(noted) < wanted:
                break
            after = noted[-1]
        return found

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        def changed(record: Record) -> Record | None:
            known = _named(record, conversation_id)
            if known is None:
                return None
            return replace(record, conversation=replace(known, metadata={**metadata}))

        record = await self._records.change(_tree_of_conversation(scope, conversation_id), changed)
        return record.conversation if record else None

    async def stretch(self, scope: Scope, turn_id: str, most: int) -> Stretch:
        tree = tree_of(scope, turn_id)
        record, row = await self._found(tree, turn_id, Reading.PLACE)
        if row is None or not record.counts(row):
            return Stretch((), "")
        lineage = await self._ways.lineage(tree, record, row.place)
        read: list[Row] = []
        async for each in self._ways.upwards(tree, row.place, Reading.PAST):
            read.append(record.shown(each, lineage))
            if len(read) == most:
                break
        turns = [_past(each.turn, with_ids=False) for each in reversed(read) if each.turn]
        return Stretch(turns, read[-1].parent_id)

    async def keep_summary(
        self,
        scope: Scope,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        """What is erased while it is kept stands above it, so that nobody reads it then."""
        tree = tree_of(scope, summary.turn_id)
        record, row = await self._found(tree, summary.turn_id, Reading.PLACE)
        if row is None or not record.counts(row) or any(map(record.is_erased, covers)):
            return False
        lineage = await self._ways.lineage(tree, record, row.place)
        if grown_from and not await self._is_kept(tree, record, model, grown_from):
            return False
        erasures = record.erasures_above(row, lineage)
        placed = PlacedSummary(row.position, erasures, summary)
        await self._rows.keep_summary(tree, row.section, model, placed)
        await self._cleaner.clean_if_changed(tree, record, row)
        return True

    async def _is_kept(self, tree: Tree, record: Record, model: str, summary: Summary) -> bool:
        row = await self._rows.row(tree, summary.turn_id, Reading.PLACE)
        if row is None:
            return False
        lineage = await self._ways.lineage(tree, record, row.place)
        kept = await self._rows.summaries(tree, row.place, model)
        return _read_of(kept, row, record.erasures_above(row, lineage)) == summary

    async def forget_facts(self, erasure: Erasure) -> None:
        await self._facts.forget(erasure)

    async def erasures_handled(self) -> int:
        return await self._facts.handled()

    async def records(self, kind: type[RecordType], start: str, limit: int) -> Page[RecordType]:
        return await self._reader.page(kind, start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        await self._writer.put(records)
        await self.follow_handled()

    async def sweep(self) -> None:
        """Takes away the bytes of what was erased by processes that ended before they did."""
        await self._cleaner.sweep()

    async def follow_handled(self) -> None:
        """Learns what other processes have handled."""
        await self._facts.read_handled()

    async def _found(self, tree: Tree, turn_id: str, reading: Reading) -> tuple[Record, Row | None]:
        record, row = await asyncio.gather(
            self._records.read(tree), self._rows.row(tree, turn_id, reading)
        )
        if row and not record.counts(row):
            # The head may have moved on after the row was read. It was settled before that.
            row = await self._rows.row(tree, turn_id, reading)
        return record, row


@asynccontextmanager
async def kept_up(turns: TreeTurns, *, erased_within_seconds: float) -> AsyncIterator[TreeTurns]:
    """With what goes on beside the requests."""
    await turns.follow_handled()
    async with (
        in_background(lambda: every(_FOLLOWED_EVERY_SECONDS, turns.follow_handled)),
        # A debt is paid by the second sweep that sees it.
        in_background(lambda: every(erased_within_seconds / 2, turns.sweep)),
    ):
        yield turns


def tree_of(scope: Scope, turn_id: str) -> Tree:
    return Tree(scope.organisation, scope.project, root_of(turn_id))


def _tree_of_conversation(scope: Scope, conversation_id: str) -> Tree:
    return Tree(scope.organisation, scope.project, first_turn_of(conversation_id))


def _named(record: Record, conversation_id: str) -> StoredConversation | None:
    known = record.conversation
    return known if known and known.id == conversation_id else None


def _root_of(first: Row, root: Row | None) -> PastTurn | None:
    if not first.parent_id:
        return _past(first.turn) if first.turn else None
    return _past(root.turn, with_ids=False) if root and root.turn else None


def _read_of(summaries: Sequence[PlacedSummary], row: Row, erasures: int) -> Summary | None:
    for placed in summaries:
        if placed.position == row.position and placed.erasures == erasures:
            return placed.summary
    return None


def _past(turn: Turn, *, with_ids: bool = True) -> PastTurn:
    kept = turn.kept_ids if with_ids else None
    return PastTurn(turn.id, turn.input, turn.output, turn.memory_ids, kept)
