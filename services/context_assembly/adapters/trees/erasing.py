"""How turns, their items and whole trees are erased: one mark in the record, then the bytes."""

from dataclasses import replace

from services.context_assembly.adapters.trees.cleaning import Cleaner
from services.context_assembly.adapters.trees.record import Record
from services.context_assembly.adapters.trees.records import Records
from services.context_assembly.adapters.trees.rows import Noted, Reading, Row, Tree, TreeRows
from services.context_assembly.adapters.trees.ways import Ways
from services.context_assembly.compactions import without_item


class Eraser:
    """Nobody reads what was erased from when the record says so.

    That the bytes are still there is remembered before, so that any process finishes.
    """

    def __init__(self, rows: TreeRows, records: Records, ways: Ways, cleaner: Cleaner) -> None:
        self._rows = rows
        self._records = records
        self._ways = ways
        self._cleaner = cleaner

    async def erase(self, tree: Tree, turn_id: str) -> bool:
        while True:
            record = await self._records.read(tree)
            row = await self._rows.row(tree, turn_id, Reading.PLACE)
            if not record.holds(row) or (record.conversation and not row.parent_id):
                return False
            marked = record.marked(row, erased=True)
            if record.is_head(row):
                marked = marked.with_head(await self._nearest(tree, marked, row))
            if await self._done(tree, marked, row):
                return True

    async def erase_item(self, tree: Tree, turn_id: str, item_id: str) -> bool:
        while True:
            record = await self._records.read(tree)
            row = await self._rows.row(tree, turn_id, Reading.WHOLE)
            if not record.holds(row):
                return False
            lineage = await self._ways.lineage(tree, record, row.place)
            turn = record.shown(row, lineage).turn
            if turn is None or without_item(turn, item_id) is None:
                return False
            if await self._done(tree, record.marked(row, item_id=item_id), row):
                return True

    async def erase_tree(self, tree: Tree, conversation_id: str) -> bool:
        while True:
            record = await self._records.read(tree)
            begun = record.conversation
            if begun is None or begun.id != conversation_id:
                return False
            head = await self._rows.row(tree, begun.head, Reading.PLACE)
            if head and not head.settled:
                await self._rows.settle(tree, head)
            gone = replace(record, gone=True, conversation=None)
            noted = Noted(begun.created_at_ms, begun.id)
            async with self._cleaner.owing(tree):
                if await self._records.replace(tree, gone):
                    await self._rows.forget_conversation(tree, noted)
                    await self._cleaner.clean(tree)
                    return True

    async def _done(self, tree: Tree, marked: Record, row: Row) -> bool:
        """False: the record has changed meanwhile, and nothing is erased."""
        async with self._cleaner.owing(tree):
            if not await self._records.replace(tree, marked):
                return False
            await self._cleaner.clean(tree, [row.place])
        return True

    async def _nearest(self, tree: Tree, marked: Record, row: Row) -> str:
        """The nearest turn above that is not erased; a conversation's first never is."""
        async for each in self._ways.upwards(tree, row.place, Reading.PLACE):
            if not marked.is_erased(each.id):
                return each.id
        raise AssertionError("the first turn of a conversation is erased")
