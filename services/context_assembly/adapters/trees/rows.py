"""What a store of trees needs of a database that changes one row at a time.

A tree's turns stand in sections: a section is some turns of which each continues the one before,
and is named by the id of its first. Where it is full, or where a turn has a second answer, another
section begins. So the way up from a turn is read section by section, and no place in the database
grows with the tree.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Protocol

from services.context_assembly.api import Turn
from services.context_assembly.ports import Summary
from services.shared.scope import Scope

# A section ends at the first of these: what one read brings has a bound.
SECTION_TURNS = 32
SECTION_CHARS = 200_000


class Tree(NamedTuple):
    """Where a tree is kept."""

    organisation: str
    project: str
    # The id of its first turn.
    root: str


class Place(NamedTuple):
    """Where a turn stands in its tree."""

    section: str
    position: int


class Noted(NamedTuple):
    """A conversation in the list of its project's."""

    created_at_ms: int
    id: str


class Debt(NamedTuple):
    """Of an erasure: until it is paid, some process has to take bytes away."""

    tree: Tree
    # Tells one erasure from another.
    name: str


class Reading(Enum):
    """How much of a row is read."""

    PLACE = "place"  # nothing that was said
    PAST = "past"  # all but the turn's document
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Row:
    """A turn as it is kept. What was written of it is changed by erasures alone."""

    id: str
    parent_id: str
    section: str
    position: int
    # Of the path from the root through this turn.
    chars: int
    # Of the section through this turn.
    section_chars: int
    conversation_id: str
    # Of the first turn of a section: where the sections above it are left, the root's first.
    lineage: Sequence[Place]
    # Whether it counts. A conversation's turn does from when the head moves to it, and is settled
    # before the head moves on.
    settled: bool
    # The version of the tree's record on which its writing was decided.
    made_at: int
    # Its compaction items are read while no more than so many erasures were made above it.
    erasures_known: int
    compacts: bool
    # The model whose ids it keeps; empty: it keeps none.
    kept_model: str
    # When it was written, in microseconds since the epoch: tells one writing from another.
    written_at: int
    # None: erased, or not read.
    turn: Turn | None

    @property
    def place(self) -> Place:
        return Place(self.section, self.position)

    def without_ids(self) -> "Row":
        turn = self.turn and replace(self.turn, kept_ids=None)
        return replace(self, turn=turn, kept_model="")


@dataclass(frozen=True, slots=True)
class Section:
    id: str
    lineage: Sequence[Place]


@dataclass(frozen=True, slots=True)
class PlacedSummary:
    """A summary, and how often anything above its turn had been erased when it was made.

    Where more has been erased by now, nobody reads it any more.
    """

    position: int
    erasures: int
    summary: Summary


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A tree's record in the words of `record_codec.py`."""

    version: int
    text: str


class TreeRows(Protocol):
    """Every read sees each write that has returned. Every write may be repeated.

    All methods raise `Unavailable` where the database does not answer; what was written then may be
    there or not.
    """

    async def record(self, tree: Tree) -> StoredRecord | None: ...

    async def replace_record(self, tree: Tree, new: StoredRecord) -> bool:
        """By comparing and setting: in place of the version before; of none, for the first.

        False: it is certain that nothing was done. Raises `Unknown` where it is not certain.
        """

    async def certain_record(self, tree: Tree) -> StoredRecord | None:
        """After `Unknown`: with all that was ever asked for and may still be done."""

    async def row(self, tree: Tree, turn_id: str, reading: Reading) -> Row | None: ...

    async def section(self, tree: Tree, place: Place, reading: Reading) -> Sequence[Row]:
        """The rows of a section through a position, the last first."""

    async def put(self, tree: Tree, row: Row) -> bool:
        """Keeps a row, over an earlier one of the same turn, whose `settled` stays if it is set.

        False: another turn has its place, and nothing is kept.
        """

    async def put_over(self, tree: Tree, row: Row) -> None:
        """Keeps a row in the place of the same turn's that is there, settled or not."""

    async def take_back(self, tree: Tree, row: Row) -> None:
        """Erases what this `put` wrote, where no later one has."""

    async def settle(self, tree: Tree, row: Row) -> None: ...

    async def rewrite(self, tree: Tree, row: Row, version: int) -> None:
        """Leaves of the turn what `row.turn` has, and nothing where it is None.

        A rewriting by a higher version of the record is not undone by one of a lower.
        """

    async def note_section(self, tree: Tree, section: Section) -> None: ...

    async def sections(self, tree: Tree) -> Sequence[Section]: ...

    async def summaries(self, tree: Tree, place: Place, model: str) -> Sequence[PlacedSummary]:
        """Those of a section through a position."""

    async def all_summaries(self, tree: Tree, section: str) -> Sequence[tuple[str, PlacedSummary]]:
        """Of all models, which come first."""

    async def keep_summary(
        self, tree: Tree, section: str, model: str, placed: PlacedSummary
    ) -> None:
        """Over an earlier one of the same place and model."""

    async def erase_summary(
        self, tree: Tree, section: str, model: str, placed: PlacedSummary
    ) -> None: ...

    async def note_conversation(self, tree: Tree, noted: Noted) -> None:
        """Before the tree's record tells of it."""

    async def forget_conversation(self, tree: Tree, noted: Noted) -> None: ...

    async def noted_conversations(
        self, scope: Scope, after: Noted | None, limit: int, *, newest_first: bool
    ) -> Sequence[Noted]:
        """Those behind one; of some there is no record any more. Fewer than `limit`: no more."""

    async def note_reader(self, tree: Tree, turn_id: str, fact_id: str, known: int) -> None: ...

    async def readers(self, scope: Scope, fact_id: str) -> Sequence[tuple[str, int]]:
        """The turns that have read a fact, and which of memory's erasures they knew."""

    async def forget_readers(self, scope: Scope, fact_id: str, turn_ids: Sequence[str]) -> None: ...

    async def note_erased(self, scope: Scope, fact_id: str, number: int) -> None:
        """The highest number stays."""

    async def last_erased(self, scope: Scope, fact_id: str) -> int:
        """0: never."""

    async def set_handled(self, number: int) -> None:
        """The highest number stays."""

    async def handled(self) -> int: ...

    async def owe(self, debt: Debt) -> None:
        """Remembers that the tree's rows may hold what its record hides."""

    async def owed(self) -> Sequence[Debt]: ...

    async def pay(self, debt: Debt) -> None: ...

    async def trees(self, after: Tree | None, limit: int) -> Sequence[Tree]:
        """Of all organisations, behind one of them, in an order that does not change."""

    async def erased_facts(
        self, after: tuple[str, str, str] | None, limit: int
    ) -> Sequence[tuple[str, str, str, int]]:
        """Organisation, project, fact and the number of its last erasure, just as `trees`."""


class Unknown(Exception):
    """Whether a record was replaced is not known."""
