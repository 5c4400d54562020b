"""Trees as records, and records as trees."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from services.context_assembly.adapters.trees.adding import Adder
from services.context_assembly.adapters.trees.record import Mark, Record
from services.context_assembly.adapters.trees.records import Records
from services.context_assembly.adapters.trees.rows import (
    SECTION_TURNS,
    Noted,
    Place,
    PlacedSummary,
    Reading,
    Row,
    Section,
    Tree,
    TreeRows,
)
from services.context_assembly.adapters.trees.ways import Ways
from services.context_assembly.compactions import compacts
from services.context_assembly.ports import (
    ConversationRecord,
    ErasedFactRecord,
    HandledRecord,
    TurnRecord,
)
from services.shared.ids import first_turn_of, root_of
from services.shared.moving import CannotKeep, Page
from services.shared.scope import Scope


class TreeReader:
    """Reads section by section, none before those that stand above it."""

    def __init__(self, rows: TreeRows, records: Records) -> None:
        self._rows = rows
        self._records = records

    async def page(self, kind: type, start: str, limit: int) -> Page[Any]:
        if kind is TurnRecord:
            return await self._turns(start, limit)
        if kind is ConversationRecord:
            return await self._conversations(start, limit)
        if kind is ErasedFactRecord:
            after = tuple(json.loads(start)) if start else None
            found = await self._rows.erased_facts(after, limit)
            rest = json.dumps(found[-1][:3]) if len(found) == limit else ""
            return Page([ErasedFactRecord(*each) for each in found], rest)
        handled = await self._rows.handled()
        return Page([HandledRecord(handled)] if handled else ())

    async def _turns(self, start: str, limit: int) -> Page[Any]:
        found: list[TurnRecord] = []
        async for tree, section, last in self._sections(json.loads(start) if start else None):
            async for position, record in self._section(tree, section, last):
                found.append(record)
                if len(found) == limit:
                    place = [*tree, *_order(section), position]
                    return Page(found, json.dumps(place))
        return Page(found)

    async def _sections(
        self, after: Sequence[Any] | None
    ) -> AsyncIterator[tuple[Tree, Section, int]]:
        """With the position behind which each is to be read."""
        if after:
            tree = Tree(*after[:3])
            depth, last_id, position = after[3:]
            for section in sorted(await self._rows.sections(tree), key=_order):
                if _order(section) >= (depth, last_id):
                    yield tree, section, position if section.id == last_id else -1
        async for tree in self._trees(Tree(*after[:3]) if after else None):
            for section in sorted(await self._rows.sections(tree), key=_order):
                yield tree, section, -1

    async def _trees(self, after: Tree | None) -> AsyncIterator[Tree]:
        while found := await self._rows.trees(after, _TREES):
            for tree in found:
                yield tree
            after = found[-1]

    async def _section(
        self, tree: Tree, section: Section, last: int
    ) -> AsyncIterator[tuple[int, TurnRecord]]:
        record, rows, summaries = await asyncio.gather(
            self._records.read(tree),
            self._rows.section(tree, Place(section.id, SECTION_TURNS), Reading.WHOLE),
            self._rows.all_summaries(tree, section.id),
        )
        for row in reversed(rows):
            if row.position > last and record.counts(row):
                yield row.position, _turn_record(tree, record, row, section.lineage, summaries)

    async def _conversations(self, start: str, limit: int) -> Page[Any]:
        after = Tree(*json.loads(start)) if start else None
        trees = await self._rows.trees(after, limit)
        records = await asyncio.gather(*map(self._records.read, trees))
        found = [
            ConversationRecord(record.conversation, tree.root)
            for tree, record in zip(trees, records, strict=True)
            if record.conversation
        ]
        return Page(found, json.dumps(trees[-1]) if len(trees) == limit else "")


class TreeWriter:
    """Writes turns where their parents are. One that was put before keeps its place."""

    def __init__(self, rows: TreeRows, records: Records, ways: Ways, adder: Adder) -> None:
        self._rows = rows
        self._records = records
        self._ways = ways
        self._adder = adder

    async def put(self, records: Sequence[Any]) -> None:
        by_tree: dict[Tree, list[TurnRecord]] = defaultdict(list)
        for record in records:
            match record:
                case TurnRecord():
                    by_tree[_tree(record)].append(record)
                case ConversationRecord():
                    await self._conversation(record)
                case ErasedFactRecord(organisation, project, fact_id, number):
                    scope = Scope(organisation, project)
                    await self._rows.note_erased(scope, fact_id, number)
                case HandledRecord(number):
                    await self._rows.set_handled(number)
        await asyncio.gather(*(self._turns(tree, each) for tree, each in by_tree.items()))

    async def _conversation(self, record: ConversationRecord) -> None:
        begun = record.conversation
        if first_turn_of(begun.id) != record.root_id:
            raise CannotKeep(f"the conversation {begun.id} does not name the root of its tree")
        tree = Tree(begun.scope.organisation, begun.scope.project, record.root_id)
        await self._rows.note_conversation(tree, Noted(begun.created_at_ms, begun.id))
        await self._records.change(tree, partial(_with, conversation=begun))

    async def _turns(self, tree: Tree, turns: Sequence[TurnRecord]) -> None:
        record = await self._records.read(tree)
        marks = {**record.marks}
        for turn in turns:
            parent, above = None, 0
            if turn.parent_id:
                parent = await self._rows.row(tree, turn.parent_id, Reading.PLACE)
            if parent:
                lineage = await self._ways.whole_lineage(tree, parent.section)
                above = replace(record, marks=marks).erasures_above(parent, lineage)
            row = await self._row(tree, record, parent, turn)
            await self._beside(tree, row, turn)
            marks.pop(turn.id, None)
            if turn.turn is None or turn.erasures > above:
                marks[turn.id] = Mark(row.place, turn.erasures - above, turn.turn is None)
        await self._records.change(tree, partial(_with, marks=marks))

    async def _row(self, tree: Tree, record: Record, parent: Row | None, turn: TurnRecord) -> Row:
        row = _row(record, parent, turn)
        known = await self._rows.row(tree, turn.id, Reading.PLACE)
        if known is None:
            row = await self._adder.place(tree, parent, row)
        else:
            row = replace(
                row,
                section=known.section,
                position=known.position,
                lineage=known.lineage,
                section_chars=known.section_chars,
            )
            await self._rows.put_over(tree, row)
        if row.turn is None:
            # What an earlier put may have left.
            await self._rows.rewrite(tree, row, 1)
        return row

    async def _beside(self, tree: Tree, row: Row, turn: TurnRecord) -> None:
        kept = turn.turn.kept_ids if turn.turn else None
        for fact_id in kept.fact_ids if kept else ():
            assert kept
            await self._rows.note_reader(tree, turn.id, fact_id, kept.erasures_known)
        for model, placed in await self._rows.all_summaries(tree, row.section):
            if placed.position == row.position and model not in turn.summaries:
                await self._rows.erase_summary(tree, row.section, model, placed)
        for model, summary in turn.summaries.items():
            placed = PlacedSummary(row.position, turn.erasures, summary)
            await self._rows.keep_summary(tree, row.section, model, placed)


def _with(record: Record, **changes: Any) -> Record | None:
    """None: nothing changes."""
    changed = replace(record, **changes)
    return None if changed == record else changed


# How many trees are asked for at once.
_TREES = 100


def _order(section: Section) -> tuple[int, str]:
    """By how many sections stand above it."""
    return len(section.lineage), section.id


def _tree(turn: TurnRecord) -> Tree:
    if root_of(turn.id) != turn.root_id:
        raise CannotKeep(
            f"the id of the turn {turn.id} does not name the root of its tree: it is of release"
            " 0.1.0, which only SQLite and PostgreSQL can keep"
        )
    return Tree(turn.organisation, turn.project, turn.root_id)


def _row(record: Record, parent: Row | None, turn: TurnRecord) -> Row:
    """The turn at the beginning of a section of its own."""
    said = turn.turn
    return Row(
        id=turn.id,
        parent_id=turn.parent_id,
        section=turn.id,
        position=0,
        chars=turn.chars,
        section_chars=turn.chars - (parent.chars if parent else 0),
        conversation_id=said.conversation_id if said else "",
        lineage=(),
        settled=True,
        made_at=record.version,
        # What it holds may be read, however much was erased above it.
        erasures_known=turn.erasures,
        compacts=said is not None and compacts(said),
        kept_model=said.kept_ids.model if said and said.kept_ids else "",
        written_at=time.time_ns() // 1000,
        turn=said,
    )


def _turn_record(
    tree: Tree,
    record: Record,
    row: Row,
    lineage: Sequence[Place],
    summaries: Sequence[tuple[str, PlacedSummary]],
) -> TurnRecord:
    erasures = record.erasures_above(row, lineage)
    return TurnRecord(
        tree.organisation,
        tree.project,
        row.id,
        row.parent_id,
        tree.root,
        row.chars,
        # The erasure of a whole tree is no mark, and counts as one at its root.
        erasures + record.gone,
        record.shown(row, lineage).turn,
        {
            model: placed.summary
            for model, placed in summaries
            if not record.gone and (placed.position, placed.erasures) == (row.position, erasures)
        },
    )
