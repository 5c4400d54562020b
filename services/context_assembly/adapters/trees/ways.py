"""The way up from a turn, read section by section."""

from collections.abc import AsyncIterator, Sequence

from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.rows import (
    Place,
    Reading,
    Row,
    Tree,
    TreeRows,
)


class Ways:
    def __init__(self, rows: TreeRows) -> None:
        self._rows = rows

    async def lineage(self, tree: Tree, record: Record, place: Place) -> Sequence[Place]:
        """Where the sections above a turn's are left; nothing where no mark asks for it."""
        if not record.marks:
            return ()
        return await self.whole_lineage(tree, place.section)

    async def whole_lineage(self, tree: Tree, section: str) -> Sequence[Place]:
        first = await self._rows.section(tree, Place(section, 0), Reading.PLACE)
        return first[-1].lineage if first else ()

    async def upwards(self, tree: Tree, place: Place, reading: Reading) -> AsyncIterator[Row]:
        """The turn and all above it, as they are kept."""
        at: Place | None = place
        while at:
            found = await self._rows.section(tree, at, reading)
            for row in found:
                yield row
            at = above(found)


def above(section: Sequence[Row]) -> Place | None:
    """Where the turn above a section stands; None: the section begins at the root."""
    if not section or not section[-1].lineage:
        return None
    return section[-1].lineage[-1]
