"""What is kept of a tree as a whole, and what it hides of the tree's turns; pure functions.

A store that changes one place at a time cannot erase a turn and, in the same moment, whatever below
it may hold its words. So an erasure is one mark in the tree's record. Who reads a turn reads the
record too, and leaves out what the marks hide; that the bytes go is work for later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from services.context_assembly.adapters.trees.rows import Place, Row
from services.context_assembly.api import StoredConversation
from services.context_assembly.compactions import compacts, uncompacted, without_item

# How many of the last writes a record names; see `Record.writes`.
_WRITES_NAMED = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """What was erased at one turn. Most of it holds for all turns below, too."""

    # None: of the turn nothing was known but its id.
    place: Place | None
    # How often something of the turn was erased.
    erasures: int = 0
    # Whether the turn itself is.
    erased: bool = False
    # Items of the turn that are.
    items: Sequence[str] = ()
    # The record's version since which kept ids are lost of turns that were made before it.
    ids_lost_at: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """It changes by comparing its version and setting it. A tree begins without one: version 0."""

    version: int = 0
    # Whether the whole tree is erased.
    gone: bool = False
    conversation: StoredConversation | None = None
    # By turn.
    marks: Mapping[str, Mark] = field(default_factory=dict)
    # The last writes, by names that they gave themselves: whoever does not know whether a write of
    # its own was done finds out here.
    writes: Sequence[str] = ()

    def next(self, write: str) -> "Record":
        writes = (*self.writes, write)[-_WRITES_NAMED:]
        return replace(self, version=self.version + 1, writes=writes)

    def marked(self, row: Row, *, erased: bool = False, item_id: str = "") -> "Record":
        """With one erasure more at a turn."""
        mark = self.marks.get(row.id, Mark(row.place))
        items = (*mark.items, item_id) if item_id else mark.items
        mark = replace(
            mark,
            place=row.place,
            erasures=mark.erasures + 1,
            erased=mark.erased or erased,
            items=items,
        )
        return replace(self, marks={**self.marks, row.id: mark})

    def without_ids(self, turn_id: str, place: Place | None) -> "Record":
        """With the kept ids lost of a turn, and of all below it, that are there now."""
        mark = self.marks.get(turn_id, Mark(place))
        mark = replace(mark, place=place or mark.place, ids_lost_at=self.version + 1)
        return replace(self, marks={**self.marks, turn_id: mark})

    def with_head(self, turn_id: str) -> "Record":
        assert self.conversation
        return replace(self, conversation=replace(self.conversation, head=turn_id))

    def is_erased(self, turn_id: str) -> bool:
        return self.gone or (turn_id in self.marks and self.marks[turn_id].erased)

    def is_head(self, row: Row) -> bool:
        return self.conversation is not None and self.conversation.head == row.id

    def counts(self, row: Row) -> bool:
        """Whether the turn was ever added: a conversation's is when the head has moved to it."""
        mark = self.marks.get(row.id)
        return row.settled or self.is_head(row) or bool(mark and mark.erasures)

    def holds(self, row: Row | None) -> TypeGuard[Row]:
        """Whether the turn is there, for who reads."""
        return row is not None and not self.is_erased(row.id) and self.counts(row)

    def erasures_above(self, row: Row, lineage: Sequence[Place]) -> int:
        """How often anything at the turn or above it was erased."""
        return sum(mark.erasures for mark in self._over(row, lineage))

    def shown(self, row: Row, lineage: Sequence[Place]) -> Row:
        """The turn as everybody sees it: without what the marks hide."""
        if self.is_erased(row.id):
            return replace(row, turn=None, compacts=False, kept_model="")
        over = self._over(row, lineage)
        if not over:
            return row
        if any(mark.erasures or mark.ids_lost_at > row.made_at for mark in over):
            row = row.without_ids()
        if sum(mark.erasures for mark in over) > row.erasures_known:
            row = replace(row, turn=row.turn and uncompacted(row.turn), compacts=False)
        return self._without_items(row)

    def _over(self, row: Row, lineage: Sequence[Place]) -> Sequence[Mark]:
        """The marks of the turn and of those above it. `lineage` is its section's, or a lower's."""
        exits = {row.section: row.position}
        for place in lineage:
            if place.section == row.section:
                break
            exits[place.section] = place.position
        return [
            mark
            for turn_id, mark in self.marks.items()
            if turn_id == row.id
            or (mark.place and mark.place.position <= exits.get(mark.place.section, -1))
        ]

    def _without_items(self, row: Row) -> Row:
        mark = self.marks.get(row.id)
        turn = row.turn
        for item_id in mark.items if mark else ():
            turn = turn and (without_item(turn, item_id) or turn)
        return (
            replace(row, turn=turn, compacts=compacts(turn)) if turn != row.turn and turn else row
        )
