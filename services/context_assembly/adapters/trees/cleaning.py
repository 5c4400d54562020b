"""Takes away the bytes of what a tree's record hides."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.records import Records
from services.context_assembly.adapters.trees.rows import (
    SECTION_TURNS,
    Debt,
    Place,
    Reading,
    Row,
    Section,
    Tree,
    TreeRows,
)


class Cleaner:
    """Everything here may be done again, by any process; nobody waits for it to read rightly."""

    def __init__(self, rows: TreeRows, records: Records) -> None:
        self._rows = rows
        self._records = records
        self._seen: set[Debt] = set()

    @asynccontextmanager
    async def owing(self, tree: Tree) -> AsyncIterator[None]:
        """Around an erasure. If the process ends within, a sweep of another one finishes."""
        debt = Debt(tree, secrets.token_hex(8))
        await self._rows.owe(debt)
        yield
        await self._rows.pay(debt)

    async def clean(self, tree: Tree, at: Sequence[Place] | None = None) -> None:
        """All at and below some places, or all of the tree."""
        record = await self._records.read(tree)
        for section in await self._rows.sections(tree):
            if at is None or any(_reaches(section, place) for place in at):
                await self._clean_section(tree, record, section)

    async def clean_if_changed(self, tree: Tree, known: Record, row: Row) -> None:
        """For who has written something of a turn while its tree may have been erased from."""
        record = await self._records.read(tree)
        if record.version != known.version:
            await self.clean(tree, [row.place])

    async def sweep(self) -> None:
        """Pays what is owed since the last sweep; younger debts may be of work that goes on."""
        owed = {*await self._rows.owed()}
        for debt in owed & self._seen:
            await self.clean(debt.tree)
            await self._rows.pay(debt)
        self._seen = owed

    async def _clean_section(self, tree: Tree, record: Record, section: Section) -> None:
        last = Place(section.id, SECTION_TURNS)
        rows = await self._rows.section(tree, last, Reading.PAST)
        shown = [(row, record.shown(row, section.lineage)) for row in rows]
        await asyncio.gather(
            *(
                self._rows.rewrite(tree, left, record.version)
                for row, left in shown
                if left.turn != row.turn
            )
        )
        erasures = {row.position: record.erasures_above(row, section.lineage) for row in rows}
        for model, placed in await self._rows.all_summaries(tree, section.id):
            if record.gone or placed.erasures != erasures.get(placed.position):
                await self._rows.erase_summary(tree, section.id, model, placed)


def _reaches(section: Section, place: Place) -> bool:
    """Whether the section holds the place, or turns below it."""
    if section.id == place.section:
        return True
    return any(
        each.section == place.section and each.position >= place.position
        for each in section.lineage
    )
