import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import KeptIds
from services.context_assembly.forgetting import Forgetter
from services.memory.api import Erasure
from services.shared.background import in_background
from services.shared.errors import Unavailable
from tests.fakes.context_assembly import SCOPE, FactMemory
from tests.fakes.turn_trees import id_of, turn


class ErasingMemory(FactMemory):
    """A `Memory` that erases facts, and whose streams end as often as a test wants."""

    def __init__(self, erasures: int) -> None:
        super().__init__()
        self.erasures = [Erasure(3 * n, SCOPE, [f"mem_{n}"]) for n in range(1, erasures + 1)]
        self.asked_after: list[int] = []
        # After how many erasures each stream ends, and with what; then they stay open.
        self.endings: list[tuple[int, Exception | None]] = []
        self.more = asyncio.Condition()

    async def erase(self, fact_id: str) -> None:
        async with self.more:
            number = self.erasures[-1].number + 1 if self.erasures else 1
            self.erasures.append(Erasure(number, SCOPE, [fact_id]))
            self.more.notify_all()

    async def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
        self.asked_after.append(after)
        left, failure = self.endings.pop(0) if self.endings else (10**6, None)
        while left:
            coming = [each for each in self.erasures if each.number > after]
            if coming:
                after, left = coming[0].number, left - 1
                yield coming[0]
                continue
            async with self.more:
                await self.more.wait()
        if failure:
            raise failure


class CountingTurns(InMemoryTurns):
    """Counts what it is given; fails as often as a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []
        self.failures: list[int] = []
        self.reached = asyncio.Condition()

    async def forget_facts(self, erasure: Erasure) -> None:
        if erasure.number in self.failures:
            self.failures.remove(erasure.number)
            raise OSError("the disk is full")
        await super().forget_facts(erasure)
        async with self.reached:
            self.given.append(erasure.number)
            self.reached.notify_all()

    async def handled(self, number: int) -> Sequence[int]:
        """All that were given, once this one was."""
        async with asyncio.timeout(5), self.reached:
            await self.reached.wait_for(lambda: number in self.given)
        return self.given


class CarelessTurns(CountingTurns):
    """Counts an erasure as handled before it is, as no store may."""

    async def forget_facts(self, erasure: Erasure) -> None:
        self._erasures_handled = erasure.number
        await super().forget_facts(erasure)


def forgetter(memory: ErasingMemory, turns: CountingTurns) -> Forgetter:
    return Forgetter(memory, turns, retry_seconds=0)


async def test_every_erasure_is_handled_once() -> None:
    memory, turns = ErasingMemory(20), CountingTurns()
    async with in_background(forgetter(memory, turns).run):
        assert await turns.handled(60) == [*range(3, 61, 3)]
        await memory.erase("mem_21")
        assert await turns.handled(61) == [*range(3, 61, 3), 61]
    assert memory.asked_after == [0]


async def test_the_ids_of_a_turn_that_read_the_fact_are_gone() -> None:
    memory, turns = ErasingMemory(0), CountingTurns()
    await turns.add(turn("a", kept_ids=KeptIds("m", 0, [1], ["mem_1"])))
    await turns.add(turn("b", "a", kept_ids=KeptIds("m", 0, [1], ["mem_2"])))
    await turns.add(turn("t00", kept_ids=KeptIds("m", 0, [1], ["mem_2"])))
    async with in_background(forgetter(memory, turns).run):
        await memory.erase("mem_1")
        await turns.handled(1)
    left = [await turns.get(SCOPE, id_of(name)) for name in ("a", "b", "t00")]
    assert [bool(each and each.kept_ids) for each in left] == [False, False, True]


@pytest.mark.parametrize("failure", [None, Unavailable("away"), ValueError("a bug")])
async def test_after_a_lost_stream_it_goes_on_with_the_next(failure: Exception | None) -> None:
    memory, turns = ErasingMemory(10), CountingTurns()
    memory.endings = [(4, failure), (0, failure), (3, failure)]
    async with in_background(forgetter(memory, turns).run):
        assert await turns.handled(30) == [*range(3, 31, 3)]
    assert memory.asked_after == [0, 12, 12, 21]


async def test_memory_that_is_away_is_no_bug() -> None:
    memory, turns = ErasingMemory(2), CountingTurns()
    memory.endings = [(1, Unavailable("away"))]
    with capture_logs() as logs:
        async with in_background(forgetter(memory, turns).run):
            await turns.handled(6)
    assert [(each["log_level"], each["error"]) for each in logs] == [
        ("warning", "shared.Unavailable")
    ]


async def test_a_restart_goes_on_with_the_next() -> None:
    memory, turns = ErasingMemory(5), CountingTurns()
    async with in_background(forgetter(memory, turns).run):
        await turns.handled(15)
    await memory.erase("mem_6")
    async with in_background(forgetter(memory, turns).run):
        assert await turns.handled(16) == [3, 6, 9, 12, 15, 16]
    assert memory.asked_after == [0, 15]


async def test_an_erasure_that_the_store_failed_at_is_tried_again() -> None:
    memory, turns = ErasingMemory(5), CountingTurns()
    turns.failures = [6, 6, 15]
    async with in_background(forgetter(memory, turns).run):
        assert await turns.handled(15) == [3, 6, 9, 12, 15]
    assert memory.asked_after == [0, 3, 3, 12]


async def test_a_store_that_counts_too_early_would_be_noticed() -> None:
    """The counterpart: the test above fails where an erasure is left out."""
    memory, turns = ErasingMemory(5), CarelessTurns()
    turns.failures = [6]
    async with in_background(forgetter(memory, turns).run):
        assert await turns.handled(15) == [3, 9, 12, 15]


async def test_two_may_follow_for_one_store() -> None:
    memory, turns = ErasingMemory(8), CountingTurns()
    both = [forgetter(memory, turns) for _ in range(2)]
    async with in_background(both[0].run), in_background(both[1].run):
        await memory.erase("mem_9")
        await turns.handled(25)
    assert {*turns.given} == {*range(3, 25, 3), 25}
    assert await turns.erasures_handled() == 25


async def test_the_stream_is_closed_when_it_is_left() -> None:
    closed = asyncio.Event()

    class Watched(ErasingMemory):
        async def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
            try:
                async with aclosing(super().watch_erased(after)) as erasures:
                    async for erasure in erasures:
                        yield erasure
            finally:
                closed.set()

    turns = CountingTurns()
    async with in_background(forgetter(Watched(1), turns).run):
        await turns.handled(3)
    assert closed.is_set()
