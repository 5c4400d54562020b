"""Whatever is written in whatever order, every store of turns answers as the one in memory.

Hypothesis finds the orders. Two writers, as if in two processes, write in turn and at the same
time, and some writes are repeated because nobody knows whether they were done.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from services.context_assembly.adapters.cassandra import open_cassandra_turns
from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.adapters.mongodb import open_mongodb_turns
from services.context_assembly.adapters.postgres import open_postgres_turns
from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.api import KeptIds
from services.context_assembly.ports import Summary, TurnStore
from services.memory.api import Erasure
from services.shared.scope import Scope
from tests.fakes.tree_writes import (
    FACTS,
    MODELS,
    Known,
    Write,
    adding,
    questions,
    questions_of_turn,
    told,
    way_to,
)
from tests.fakes.turn_trees import TURN_STORES
from tests.servers.cassandra import empty_keyspace
from tests.servers.ferretdb import fresh_documents
from tests.servers.postgres import fresh_database

# A failure is told as it was found, with what repeats it. Making it short takes minutes: for that,
# add Phase.shrink here.
SETTINGS = settings(
    phases=[Phase.generate],
    report_multiple_bugs=False,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=[*HealthCheck],
)
# As if `erasures_known` were how many erasures ago the facts were read.
KEPT_IDS = st.builds(
    KeptIds,
    st.sampled_from(MODELS),
    st.sampled_from([0, 0, 2]),
    st.just([7, 8]),
    st.lists(st.sampled_from(FACTS), unique=True),
    st.integers(0, 2),
)
# Those that are named twice make trees grow.
WRITES = [
    *("add", "converse", "summarise", "add", "converse", "summarise", "erase", "erase item"),
    *("erase tree", "forget facts", "set metadata", "start", "add root", "add again"),
]
_organisations = count(1)


Pair = tuple[TurnStore, TurnStore]


class Trees:
    """The store under test, twice as if in two processes, and what it was found to do."""

    def __init__(self, runner: asyncio.Runner, writers: Pair) -> None:
        self.runner = runner
        self.writers = writers
        # The number of the last erasure, over all examples.
        self.number = 0
        self.seen: Counter[str] = Counter()


class TurnTrees(RuleBasedStateMachine):
    def __init__(self, trees: Trees) -> None:
        super().__init__()
        self.trees = trees
        self.model = InMemoryTurns()
        self.known = Known(Scope(f"org {next(_organisations)}", "main", "ann"))

    @initialize()
    def begin(self) -> None:
        """Where the store is with erasures, and with a conversation and a tree beside it."""
        nobody = Erasure(self.trees.number, Scope("nobody", "main"), ())
        conversation, first = self.known.conversation(1)
        root = self.known.turn("", words=1, compacts=False)
        child = self.known.turn(root.id, words=1, compacts=False)
        self.trees.runner.run(self.model.forget_facts(nobody))
        writer = self.trees.writers[0]
        for write in (lambda store: store.start(conversation, first), adding(root), adding(child)):
            self.trees.runner.run(self._same(writer, write))

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        writer = self.trees.writers[data.draw(st.integers(0, 1), "writer")]
        self.trees.runner.run(self._same(writer, self._write(data)))

    async def _same(self, writer: TurnStore, write: Write) -> None:
        assert await write(writer) == await write(self.model)

    @rule(data=st.data(), steps=st.one_of(st.none(), st.integers(0, 30)))
    def write_with_an_unknown_outcome(self, data: st.DataObject, steps: int | None) -> None:
        """It was done, or given up somewhere in its middle, and is repeated by the other writer."""
        first, second = self.trees.writers
        self.trees.runner.run(self._unsure(first, second, self._write(data), steps))

    async def _unsure(
        self, first: TurnStore, second: TurnStore, write: Write, steps: int | None
    ) -> None:
        task = asyncio.ensure_future(write(first))
        if steps is not None:
            for _ in range(steps):
                await asyncio.sleep(0)
            self.trees.seen["given up"] += task.cancel()
        await asyncio.wait([task])
        repeated = await write(second)
        assert repeated in (await write(self.model), await write(self.model))

    @rule(data=st.data())
    def two_writes_at_once(self, data: st.DataObject) -> None:
        one, other = self._write(data), self._write(data)
        self.trees.runner.run(self._raced(one, other))

    async def _raced(self, one: Write, other: Write) -> None:
        """As if one had come after the other. Which, a server's clock says: both orders may be."""
        first, second = self.trees.writers
        said = tuple(await asyncio.gather(one(first), other(second)))
        forwards, backwards = deepcopy(self.model), deepcopy(self.model)
        expected = [
            (await one(forwards), await other(forwards)),
            (await other(backwards), await one(backwards))[::-1],
        ]
        asked = questions(self.known)
        after = [await told(model, asked) for model in (forwards, backwards)]
        differing = {name: asked[name] for name in asked if after[0][name] != after[1][name]}
        here = await told(first, differing)
        fitting = [
            model
            for model, words, answers in zip((forwards, backwards), expected, after, strict=True)
            if words == said and all(here[name] == answers[name] for name in differing)
        ]
        assert fitting, (said, expected)
        self.trees.seen["at once"] += 1
        self.model = fitting[0]

    @rule(data=st.data(), writer=st.integers(0, 1))
    def ask_for_a_turn(self, data: st.DataObject, writer: int) -> None:
        self.trees.runner.run(self._asked(self.trees.writers[writer], self._turn_id(data)))

    async def _asked(self, writer: TurnStore, turn_id: str) -> None:
        asked = questions_of_turn(self.known.scope, turn_id)
        assert await told(writer, asked) == await told(self.model, asked)

    def teardown(self) -> None:
        self.trees.runner.run(self._all_the_same())

    async def _all_the_same(self) -> None:
        asked = questions(self.known)
        expected = await told(self.model, asked)
        handled = await self.model.erasures_handled()
        numbers = [await each.erasures_handled() for each in self.trees.writers]
        assert await told(self.trees.writers[1], asked) == expected
        # Of two processes, one may lag behind.
        assert max(numbers) == handled

    def _write(self, data: st.DataObject) -> Write:
        name = data.draw(st.sampled_from(WRITES), "write")
        self.trees.seen[name] += 1
        write: Write = getattr(self, f"_{name.replace(' ', '_')}")(data)
        return write

    def _turn_id(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([*self.known.turns]), "turn")

    def _add_root(self, data: st.DataObject) -> Write:
        return self._adding(data, "")

    def _add(self, data: st.DataObject) -> Write:
        return self._adding(data, self._turn_id(data))

    def _adding(self, data: st.DataObject, parent_id: str, conversation_id: str = "") -> Write:
        turn = self.known.turn(
            parent_id,
            words=data.draw(st.integers(0, 20), "words"),
            compacts=data.draw(st.integers(0, 4), "compacts") == 0,
        )
        kept_ids = data.draw(st.one_of(st.none(), KEPT_IDS), "kept ids")
        if kept_ids:
            known = max(0, self.trees.number - kept_ids.erasures_known)
            kept_ids = replace(kept_ids, erasures_known=known)
        above = data.draw(st.integers(0, 3), "erasures above")
        return adding(
            replace(turn, kept_ids=kept_ids, erasures_above=above, conversation_id=conversation_id)
        )

    def _add_again(self, data: st.DataObject) -> Write:
        known = self.known.turns[self._turn_id(data)]
        return adding(replace(known, document="another"))

    def _start(self, data: st.DataObject) -> Write:
        begun, first = self.known.conversation(data.draw(st.integers(1, 3), "at"))
        return lambda store: store.start(begun, first)

    def _converse(self, data: st.DataObject) -> Write:
        """Below its last turn, or below any other."""
        conversation = data.draw(st.sampled_from(self.known.conversations), "conversation")
        found = self.trees.runner.run(self.model.conversation(self.known.scope, conversation.id))
        head = found.head if found else conversation.head
        below = [head, head, *(each for each in self.known.turns if each[:37] == head[:37])]
        parent_id = data.draw(st.sampled_from(below), "parent")
        return self._adding(data, parent_id, conversation.id)

    def _set_metadata(self, data: st.DataObject) -> Write:
        conversation = data.draw(st.sampled_from(self.known.conversations), "conversation")
        metadata = data.draw(st.dictionaries(st.sampled_from("ab"), st.text(max_size=3)))
        return lambda store: store.set_metadata(self.known.scope, conversation.id, metadata)

    def _erase(self, data: st.DataObject) -> Write:
        turn_id = self._turn_id(data)
        return lambda store: store.erase(self.known.scope, turn_id)

    def _erase_item(self, data: st.DataObject) -> Write:
        turn = self.known.turns[self._turn_id(data)]
        item = data.draw(st.sampled_from([*turn.input, *turn.output]), "item")
        return lambda store: store.erase_item(self.known.scope, turn.id, item.id)

    def _erase_tree(self, data: st.DataObject) -> Write:
        conversation = data.draw(st.sampled_from(self.known.conversations), "conversation")
        return lambda store: store.erase_tree(self.known.scope, conversation.id)

    def _summarise(self, data: st.DataObject) -> Write:
        """What an assembly writes: of turns on one way, and of a summary that is there or was."""
        way = way_to(self.known, self._turn_id(data))
        model = data.draw(st.sampled_from(MODELS), "model")
        made = len(self.known.summaries)
        summary = Summary(way[-1], data.draw(st.integers(1, 3), "items"), f"summary {made}")
        mine = [each for by, each in self.known.summaries if by == model and each.turn_id in way]
        # What is drawn may not hang on how a race ended, of which the way is made.
        older = [None, *mine[-3:]]
        grown_from = older[data.draw(st.integers(0, 3), "grown from") % len(older)]
        begin = way.index(grown_from.turn_id) if grown_from else 0
        self.known.summaries.append((model, summary))
        return lambda store: store.keep_summary(
            self.known.scope, model, summary, covers=way[begin:], grown_from=grown_from
        )

    def _forget_facts(self, data: st.DataObject) -> Write:
        """The next erasure, or one that was handled before."""
        fact_ids = data.draw(st.lists(st.sampled_from(FACTS), min_size=1, unique=True), "facts")
        following = Erasure(self.trees.number + 1, self.known.scope, tuple(fact_ids))
        erasure = data.draw(st.sampled_from([following, *self.known.erasures]), "erasure")
        self.trees.number = max(self.trees.number, erasure.number)
        self.known.erasures.append(erasure)
        return lambda store: store.forget_facts(erasure)


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[Pair]:
    url = f"sqlite:{folder}/turns.sqlite"
    async with open_sqlite_turns(url) as one, open_sqlite_turns(url) as other:
        yield one, other


@asynccontextmanager
async def _postgres(_folder: Path) -> AsyncIterator[Pair]:
    async with (
        fresh_database() as url,
        open_postgres_turns(url) as one,
        open_postgres_turns(url) as other,
    ):
        yield one, other


@asynccontextmanager
async def _cassandra(_folder: Path) -> AsyncIterator[Pair]:
    opened = partial(open_cassandra_turns, await empty_keyspace(), erased_within_seconds=60)
    async with opened() as one, opened() as other:
        yield one, other


@asynccontextmanager
async def _mongodb(_folder: Path) -> AsyncIterator[Pair]:
    opened = partial(open_mongodb_turns, await fresh_documents(), erased_within_seconds=60)
    async with opened() as one, opened() as other:
        yield one, other


RUNS = 4
# With how many examples each is tried: what a server answers takes longer.
PAIRS: Mapping[str, tuple[Callable[[Path], AbstractAsyncContextManager[Pair]], int]] = {
    "sqlite": (_sqlite, 25),
    "postgresql": (_postgres, 12),
    "cassandra": (_cassandra, 6),
    "mongodb": (_mongodb, 6),
}


@pytest.mark.timeout(400)  # three nodes of Cassandra start
# MongoDB's client leaves the closing of a socket to the collector, where a write is given up while
# it connects.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("name", PAIRS)
def test_a_store_answers_as_the_one_in_memory(name: str, tmp_path: Path) -> None:
    opening, examples = PAIRS[name]
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        pair = opening(tmp_path)
        trees = Trees(runner, runner.run(pair.__aenter__()))
        machine: Any = partial(TurnTrees, trees)
        try:
            # Chance may leave a rule out of all examples of a run.
            for _ in range(RUNS):
                run_state_machine_as_test(
                    machine, settings=settings(SETTINGS, max_examples=examples)
                )
                if trees.seen["given up"] and trees.seen["at once"]:
                    break
        finally:
            runner.run(pair.__aexit__(None, None, None))
            gc.collect()
    # Which writes there are is left to chance.
    assert len({*WRITES} - {*+trees.seen}) <= 3
    assert trees.seen["given up"]
    assert trees.seen["at once"]


def test_every_store_is_tried() -> None:
    """Those in memory are the model itself."""
    assert {*PAIRS} == {*TURN_STORES} - {"in memory", "metered"}
