"""How a turn is added to its tree, and a conversation begun."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.context_assembly.adapters.reach import characters
from services.context_assembly.adapters.trees.cleaning import Cleaner
from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.records import Records
from services.context_assembly.adapters.trees.rows import (
    SECTION_CHARS,
    SECTION_TURNS,
    Noted,
    Place,
    Reading,
    Row,
    Section,
    Tree,
    TreeRows,
)
from services.context_assembly.adapters.trees.ways import Ways
from services.context_assembly.api import KeptIds, StoredConversation, Turn
from services.context_assembly.compactions import compacts, uncompacted
from services.context_assembly.ports import ConversationGone, HeadMoved
from services.shared.ids import root_of


@dataclass(frozen=True, slots=True)
class _Ground:
    """On what the writing of a turn is decided."""

    record: Record
    # As everybody sees it; None: there is none, or it is not there.
    parent: Row | None
    erasures_above: int


class Adder:
    def __init__(self, rows: TreeRows, records: Records, ways: Ways, cleaner: Cleaner) -> None:
        self._rows = rows
        self._records = records
        self._ways = ways
        self._cleaner = cleaner

    async def add(self, turn: Turn) -> bool:
        """As `TurnStore.add`.

        The turn's row is written first. A conversation's turn counts from when the record names it
        as the head; until then nobody reads the row, and whoever writes it again begins anew.
        """
        tree = Tree(turn.scope.organisation, turn.scope.project, root_of(turn.id))
        written: Row | None = None
        while True:
            record, own = await asyncio.gather(
                self._records.read(tree), self._rows.row(tree, turn.id, Reading.PLACE)
            )
            if own and record.counts(own):
                return True
            try:
                _check_head(record, turn)
            except (ConversationGone, HeadMoved):
                if await self._was_added(tree, record, turn):
                    return True
                if written:
                    await self._rows.take_back(tree, written)
                raise
            ground = await self._ground(tree, record, turn)
            if ground is None:
                return False
            written = await self._write(tree, ground, turn)
            if not turn.conversation_id:
                await self._cleaner.clean_if_changed(tree, record, written)
                return True
            if await self._records.replace(tree, record.with_head(turn.id)):
                return True

    async def _was_added(self, tree: Tree, record: Record, turn: Turn) -> bool:
        """By somebody else, after its row was read and before the record was."""
        own = await self._rows.row(tree, turn.id, Reading.PLACE)
        return own is not None and record.counts(own)

    async def start(self, conversation: StoredConversation, first: Turn) -> None:
        scope = first.scope
        tree = Tree(scope.organisation, scope.project, first.id)
        await self._rows.note_conversation(tree, Noted(conversation.created_at_ms, conversation.id))
        while True:
            record, own = await asyncio.gather(
                self._records.read(tree), self._rows.row(tree, first.id, Reading.PLACE)
            )
            if record.conversation or record.gone or (own and own.settled):
                return
            await self._write(tree, _Ground(record, None, 0), first)
            begun = replace(record, conversation=conversation)
            if await self._records.replace(tree, begun):
                return

    async def _ground(self, tree: Tree, record: Record, turn: Turn) -> _Ground | None:
        """None: the parent is not there."""
        if record.gone:
            return None
        if not turn.parent_id:
            return _Ground(record, None, 0)
        if root_of(turn.parent_id) != tree.root:
            return None
        parent = await self._rows.row(tree, turn.parent_id, Reading.PLACE)
        if not record.holds(parent):
            return None
        lineage = await self._ways.lineage(tree, record, parent.place)
        erasures = record.erasures_above(parent, lineage)
        return _Ground(record, record.shown(parent, lineage), erasures)

    async def _write(self, tree: Tree, ground: _Ground, turn: Turn) -> Row:
        if turn.kept_ids and not await self._may_keep(tree, ground, turn, turn.kept_ids):
            turn = replace(turn, kept_ids=None)
        if ground.erasures_above > turn.erasures_above:
            turn = uncompacted(turn)
        parent = ground.parent
        if parent and turn.conversation_id and not parent.settled:
            await self._rows.settle(tree, parent)
        return await self.place(tree, parent, _row(ground, turn))

    async def _may_keep(self, tree: Tree, ground: _Ground, turn: Turn, kept: KeptIds) -> bool:
        """The turn is noted as a reader of its facts first.

        Who erases one of them then either finds it noted, or has said before that it is erased.
        """
        if ground.erasures_above:
            return False
        if kept.inherited and (ground.parent is None or ground.parent.kept_model != kept.model):
            return False
        facts, known = [*dict.fromkeys(kept.fact_ids)], kept.erasures_known
        await asyncio.gather(
            *(self._rows.note_reader(tree, turn.id, fact_id, known) for fact_id in facts)
        )
        erased = await asyncio.gather(
            *(self._rows.last_erased(turn.scope, fact_id) for fact_id in facts)
        )
        return all(number <= known for number in erased)

    async def place(self, tree: Tree, parent: Row | None, row: Row) -> Row:
        """Behind its parent, or at the beginning of a section of its own."""
        if parent and _has_room(parent, row):
            behind = replace(
                row,
                section=parent.section,
                position=parent.position + 1,
                section_chars=parent.section_chars + row.section_chars,
            )
            if await self._rows.put(tree, behind):
                return behind
        lineage: Sequence[Place] = ()
        if parent:
            lineage = [*await self._ways.whole_lineage(tree, parent.section), parent.place]
        row = replace(row, lineage=lineage)
        await self._rows.note_section(tree, Section(row.id, lineage))
        assert await self._rows.put(tree, row)
        return row


def _check_head(record: Record, turn: Turn) -> None:
    """Raises `ConversationGone` or `HeadMoved`."""
    if not turn.conversation_id:
        return
    if record.conversation is None or record.conversation.id != turn.conversation_id:
        raise ConversationGone
    if record.conversation.head != turn.parent_id:
        raise HeadMoved


def _has_room(parent: Row, row: Row) -> bool:
    return (
        parent.position + 1 < SECTION_TURNS
        and parent.section_chars + row.section_chars <= SECTION_CHARS
    )


def _row(ground: _Ground, turn: Turn) -> Row:
    """The turn at the beginning of a section of its own."""
    chars = characters(turn)
    return Row(
        id=turn.id,
        parent_id=turn.parent_id,
        section=turn.id,
        position=0,
        chars=chars + (ground.parent.chars if ground.parent else 0),
        section_chars=chars,
        conversation_id=turn.conversation_id,
        lineage=(),
        settled=not turn.conversation_id,
        made_at=ground.record.version,
        erasures_known=min(turn.erasures_above, ground.erasures_above),
        compacts=compacts(turn),
        kept_model=turn.kept_ids.model if turn.kept_ids else "",
        written_at=time.time_ns() // 1000,
        turn=replace(turn, erasures_above=0),
    )
