"""How the ids that turns keep are erased, where a fact that stands in them is."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from services.context_assembly.adapters.trees.cleaning import Cleaner
from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.records import Records
from services.context_assembly.adapters.trees.rows import Place, Reading, Row, Tree, TreeRows
from services.context_assembly.adapters.trees.ways import Ways
from services.memory.api import Erasure
from services.shared.ids import root_of


class FactEraser:
    def __init__(self, rows: TreeRows, records: Records, ways: Ways, cleaner: Cleaner) -> None:
        self._rows = rows
        self._records = records
        self._ways = ways
        self._cleaner = cleaner
        self._handled = 0

    async def handled(self) -> int:
        """As of the last `read_handled`, or what was handled here since."""
        return self._handled

    async def read_handled(self) -> None:
        self._handled = max(self._handled, await self._rows.handled())

    async def forget(self, erasure: Erasure) -> None:
        """As `TurnStore.forget_facts`.

        First it is written down that the facts are erased, and then their readers are looked for:
        a turn that is being added has noted itself as a reader before it asks for erased facts.
        """
        scope, number = erasure.scope, erasure.number
        await asyncio.gather(
            *(self._rows.note_erased(scope, fact_id, number) for fact_id in erasure.fact_ids)
        )
        for fact_id in erasure.fact_ids:
            readers = await self._rows.readers(scope, fact_id)
            by_tree: dict[Tree, list[str]] = defaultdict(list)
            for turn_id, known in readers:
                if known < number:
                    tree = Tree(scope.organisation, scope.project, root_of(turn_id))
                    by_tree[tree].append(turn_id)
            for tree, turn_ids in by_tree.items():
                await self._forget_in(tree, turn_ids)
                await self._rows.forget_readers(scope, fact_id, turn_ids)
        await self._rows.set_handled(number)
        self._handled = max(self._handled, number)

    async def _forget_in(self, tree: Tree, turn_ids: Sequence[str]) -> None:
        found = await asyncio.gather(
            *(self._rows.row(tree, turn_id, Reading.PLACE) for turn_id in turn_ids)
        )
        rows = dict(zip(turn_ids, found, strict=True))
        # The highest first: what stands below one has lost its ids with it.
        ordered = sorted(rows, key=lambda turn_id: row.chars if (row := rows[turn_id]) else 0)
        async with self._cleaner.owing(tree):
            places: list[Place] = []
            for turn_id in ordered:
                places += await self._lose_ids(tree, turn_id)
            if places:
                await self._cleaner.clean(tree, places)

    async def _lose_ids(self, tree: Tree, turn_id: str) -> Sequence[Place]:
        """Where ids were lost.

        A turn that is being added and is not there yet is marked all the same, and looked for
        again: others may have been added below it before the mark was made.
        """
        while True:
            record = await self._records.read(tree)
            row = await self._rows.row(tree, turn_id, Reading.PLACE)
            if await self._has_lost(tree, record, turn_id, row):
                return ()
            marked = record.without_ids(turn_id, row.place if row else None)
            if await self._records.replace(tree, marked) and row:
                return [row.place]

    async def _has_lost(self, tree: Tree, record: Record, turn_id: str, row: Row | None) -> bool:
        if record.gone:
            return True
        mark = record.marks.get(turn_id)
        if row is None:
            return mark is not None and mark.ids_lost_at > 0
        if mark and mark.ids_lost_at and mark.place is None:
            return False
        lineage = await self._ways.lineage(tree, record, row.place)
        return not record.shown(row, lineage).kept_model
