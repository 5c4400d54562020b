"""Which turns of dead gateways go on, and which end."""

import asyncio
from collections.abc import Sequence
from functools import partial

from prometheus_client import CollectorRegistry

from services.gateway.adapters.in_memory import NobodyElse
from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.admission import Admission
from services.gateway.api import Ask, Failed, Started, TextDelta, TurnEvent
from services.gateway.elsewhere import Elsewhere
from services.gateway.live_turns import LiveTurns
from services.gateway.plain import dumped
from services.gateway.steps import Origin
from services.gateway.takeover import Takeover
from services.shared.background import in_background
from services.shared.conversation import Role, said
from tests.fakes.gateways import ADA
from tests.fakes.mesh import BOUNDS, PERSON, CountedLedger, limits_of
from tests.unit.gateway.test_live_turns import WordLoop

WAITED_FOR = Ask("demo", (said("msg_1", Role.USER, "hello"),))


class Readers(NobodyElse):
    def __init__(self) -> None:
        self.here: set[str] = set()
        # Of these it takes so long to know.
        self.unknown: dict[str, asyncio.Event] = {}
        self.asked = asyncio.Event()

    async def attended(self, response_id: str) -> bool:
        self.asked.set()
        if known := self.unknown.get(response_id):
            await known.wait()
        return response_id in self.here


class Left:
    """The turns of a gateway that died after it had shown one word of each."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.journal = InMemoryJournal(lambda: self.now, max_bytes=10_000_000)
        self.readers = Readers()
        self.ledger = CountedLedger()
        self.admission = Admission(max_turns=1)
        elsewhere = Elsewhere(self.readers, NobodyElse(), turn_seconds=30)
        self.live = LiveTurns(
            WordLoop(5),
            self.journal,
            self.admission,
            self.ledger,
            elsewhere,
            limits=limits_of(),
            bounds=BOUNDS,
        )
        self.takeover = Takeover(
            self.live,
            self.journal,
            elsewhere,
            lambda origin: ADA,
            CollectorRegistry(),
            clock=lambda: self.now,
            reader_seconds=10,
        )

    async def leave(self, response_id: str, ask: Ask | None) -> None:
        scope = PERSON.scope("")
        epoch = await self.journal.claim(response_id, scope, seconds=2, waited_for=True)
        if ask:
            await self.journal.note(response_id, epoch, dumped(Origin(PERSON, "key1", ask)))
        shown: tuple[TurnEvent, ...] = (
            Started(response_id, 1, "demo"),
            TextDelta(0, "msg_1", "0 "),
        )
        for number, event in enumerate(shown):
            await self.journal.append(response_id, epoch, number, event)

    async def events(self, response_id: str) -> Sequence[TurnEvent]:
        return [numbered.event async for numbered in self.live.read(response_id)]


async def test_nothing_happens_while_the_lease_lasts() -> None:
    left = Left()
    await left.leave("resp_1", WAITED_FOR)
    left.readers.here.add("resp_1")
    await left.takeover.look()
    assert not left.live.is_under_way("resp_1")


async def test_a_turn_goes_on_beyond_what_this_gateway_lets_in() -> None:
    left = Left()
    for response_id in ("resp_1", "resp_2"):
        await left.leave(response_id, WAITED_FOR)
        left.readers.here.add(response_id)
    left.now += 3
    await left.takeover.look()
    assert left.admission.under_way == 2
    for response_id in ("resp_1", "resp_2"):
        events = await left.events(response_id)
        assert [each.text for each in events if isinstance(each, TextDelta)] == [
            f"{number} " for number in range(5)
        ]
    assert left.admission.under_way == 0
    assert sorted(entry.response_id for entry in left.ledger.entries) == ["resp_1", "resp_2"]


async def test_of_many_turns_few_repeat_at_a_time_what_was_shown() -> None:
    """So readers of the first ones hear on soon, and not all of them at the end."""
    left = Left()
    loop = left.live._turns
    assert isinstance(loop, WordLoop)
    loop.pause_before = 0
    turns = {f"resp_{number}" for number in range(12)}
    for response_id in turns:
        await left.leave(response_id, WAITED_FOR)
    left.readers.here |= turns
    left.now += 3
    looking = asyncio.create_task(left.takeover.look())
    await loop.paused.wait()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert loop.running == 8
    loop.go_on.set()
    await looking
    for response_id in turns:
        assert len(await left.events(response_id)) > 2


async def test_a_turn_without_a_reader_waits_for_one_and_then_ends() -> None:
    left = Left()
    await left.leave("resp_1", WAITED_FOR)
    left.now += 3
    await left.takeover.look()
    left.now += 9
    await left.takeover.look()
    assert len(await left.journal.so_far("resp_1")) == 2
    left.now += 2
    await left.takeover.look()
    last = (await left.events("resp_1"))[-1]
    assert isinstance(last, Failed)
    assert last.details["code"] == "stream_interrupted"


async def test_a_turn_of_which_nobody_knows_what_it_was_only_ends() -> None:
    left = Left()
    await left.leave("resp_1", None)
    left.now += 3
    await left.takeover.look()
    assert isinstance((await left.events("resp_1"))[-1], Failed)
    assert left.ledger.entries == []


async def test_a_turn_that_says_something_else_the_second_time_is_broken_off() -> None:
    """What was shown stays as it was; nothing is shown that does not follow from it."""
    left = Left()
    await left.leave("resp_1", WAITED_FOR)
    left.live._turns.words = 5  # type: ignore[attr-defined]
    record = await left.journal.so_far("resp_1")
    assert isinstance(record[0], Started)
    left.journal._records["resp_1"].events[1] = TextDelta(0, "msg_1", "zero ")
    left.readers.here.add("resp_1")
    left.now += 3
    await left.takeover.look()
    events = await left.events("resp_1")
    assert [type(each) for each in events] == [Started, TextDelta, Failed]
    assert isinstance(events[-1], Failed)
    assert events[-1].reason == "gateway.StreamInterrupted"


async def test_a_turn_that_takes_long_keeps_no_other_one_waiting() -> None:
    left = Left()
    left.readers.unknown["resp_1"] = asyncio.Event()
    left.readers.here |= {"resp_1", "resp_2"}
    await left.leave("resp_1", WAITED_FOR)
    left.now += 3
    async with asyncio.timeout(10), in_background(partial(left.takeover.watch, 0)):
        await left.readers.asked.wait()
        await left.leave("resp_2", WAITED_FOR)
        left.now += 3
        assert len(await left.events("resp_2")) > 2
        assert len(await left.journal.so_far("resp_1")) == 2
        left.readers.unknown["resp_1"].set()
        assert len(await left.events("resp_1")) > 2
