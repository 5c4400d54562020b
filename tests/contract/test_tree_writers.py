"""Two processes that write to one tree at once, where a database changes one place at a time.

FerretDB reads a document and then writes it back whole: of two updates at once one may undo the
other, though they change different fields. So no two kinds of writes change the same document.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from services.context_assembly.adapters.cassandra import CassandraRows
from services.context_assembly.adapters.cassandra_schema import MIGRATIONS as TABLES
from services.context_assembly.adapters.cassandra_schema import PART as PART_OF_KEYSPACE
from services.context_assembly.adapters.mongodb import MongoRows
from services.context_assembly.adapters.mongodb_schema import MIGRATIONS, PART
from services.context_assembly.adapters.trees.row_codec import row_out
from services.context_assembly.adapters.trees.rows import Place, Reading, Row, StoredRecord, Tree
from services.context_assembly.adapters.trees.turns import TreeTurns
from services.context_assembly.api import StoredConversation, Turn
from services.shared.cassandra import open_keyspace
from services.shared.ids import first_turn_of, make_conversation_id, make_response_id
from services.shared.mongodb import Database, open_database
from tests.fakes.context_assembly import SCOPE
from tests.fakes.turn_trees import id_of, turn
from tests.servers.cassandra import empty_keyspace
from tests.servers.ferretdb import fresh_documents

TREE = Tree(SCOPE.organisation, SCOPE.project, id_of("a"))
# Among so many one undid the other, each time that it was tried before this was so.
TIMES = 60


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    async with open_database(await fresh_documents(), PART, MIGRATIONS) as opened:
        yield opened


def row(name: str, place: Place | None = None) -> Row:
    """At the beginning of a section of its own, unless it is told where."""
    at = place or Place(id_of(name), 0)
    return Row(
        id=id_of(name),
        parent_id=id_of("a"),
        section=at.section,
        position=at.position,
        chars=1,
        section_chars=1,
        conversation_id="conv_1",
        lineage=(),
        settled=False,
        made_at=1,
        erasures_known=0,
        compacts=False,
        kept_model="",
        written_at=1,
        turn=turn(name, "a"),
    )


async def test_a_turn_that_is_rewritten_is_settled_all_the_same(database: Database) -> None:
    rows = MongoRows(database)
    for number in range(TIMES):
        put = row(f"t{number}")
        assert await rows.put(TREE, put)
        await asyncio.gather(rows.rewrite(TREE, replace(put, turn=None), 2), rows.settle(TREE, put))
        found = await rows.row(TREE, put.id, Reading.PAST)
        assert found
        assert found.settled
        assert found.turn is None
        assert await rows.section(TREE, put.place, Reading.PAST) == [found]


async def test_the_last_erasure_of_a_fact_stays(database: Database) -> None:
    rows = MongoRows(database)
    for number in range(1, TIMES, 2):
        await asyncio.gather(
            rows.note_erased(SCOPE, "fact", number + 1), rows.note_erased(SCOPE, "fact", number)
        )
        assert await rows.last_erased(SCOPE, "fact") == number + 1
    assert await rows.erased_facts(None, 10) == [(SCOPE.organisation, SCOPE.project, "fact", TIMES)]


async def test_the_last_erasure_that_was_handled_stays(database: Database) -> None:
    rows = MongoRows(database)
    for number in range(1, TIMES, 2):
        await asyncio.gather(rows.set_handled(number + 1), rows.set_handled(number))
        assert await rows.handled() == number + 1


async def test_a_turn_keeps_its_place_whoever_puts_it_again(database: Database) -> None:
    """Another may stand behind it by then."""
    rows = MongoRows(database)
    first = row("a")
    assert await rows.put(TREE, first)
    assert await rows.put(TREE, row("a", Place("another section", 0)))
    (found,) = await rows.section(TREE, first.place, Reading.PAST)
    assert found.place == first.place


class HeldRows(MongoRows):
    """Reads a record later than a row, and lets somebody else do something between."""

    def __init__(self, database: Database, between: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database)
        self._between: Callable[[], Awaitable[object]] | None = between
        self._row_was_read = asyncio.Event()

    async def row(self, tree: Tree, turn_id: str, reading: Reading) -> Row | None:
        found = await super().row(tree, turn_id, reading)
        self._row_was_read.set()
        return found

    async def record(self, tree: Tree) -> StoredRecord | None:
        await self._row_was_read.wait()
        between, self._between = self._between, None
        if between:
            await between()
        return await super().record(tree)


def following(conversation: StoredConversation, parent_id: str) -> Turn:
    made = turn("a")
    own = make_response_id(parent_id)
    return replace(made, id=own, parent_id=parent_id, conversation_id=conversation.id)


@pytest.fixture
async def conversation(database: Database) -> StoredConversation:
    """Which has its first turn."""
    own = make_conversation_id()
    begun = StoredConversation(own, SCOPE, 1, {}, first_turn_of(own))
    first = replace(turn("a"), id=begun.head, conversation_id=own)
    await TreeTurns(MongoRows(database)).start(begun, first)
    return begun


async def test_a_turn_that_another_process_adds_meanwhile_is_added(
    database: Database, conversation: StoredConversation
) -> None:
    theirs = TreeTurns(MongoRows(database))
    added = following(conversation, conversation.head)
    ours = TreeTurns(HeldRows(database, lambda: theirs.add(added)))
    assert await ours.add(added)


async def test_a_turn_is_read_while_the_head_moves_on_from_it(
    database: Database, conversation: StoredConversation
) -> None:
    theirs = TreeTurns(MongoRows(database))
    last = following(conversation, conversation.head)
    await theirs.add(last)
    ours = TreeTurns(HeldRows(database, lambda: theirs.add(following(conversation, last.id))))
    assert await ours.get(SCOPE, last.id) == last


@pytest.mark.timeout(400)  # three nodes of Cassandra start
async def test_a_turn_that_found_its_place_taken_is_on_nobody_elses_way() -> None:
    """Also where its process ended before it could leave."""
    async with open_keyspace(await empty_keyspace(), PART_OF_KEYSPACE, TABLES) as keyspace:
        rows = CassandraRows(keyspace)
        await rows.prepare()
        first = row("a")
        behind = Place(first.section, 1)
        standing, late = row("b", behind), row("c", behind)
        assert await rows.put(TREE, first)
        assert await rows.put(TREE, standing)
        await rows._put(late, TREE._asdict() | row_out(late))
        found = await rows.section(TREE, behind, Reading.PAST)
        assert [each.id for each in found] == [standing.id, first.id]
