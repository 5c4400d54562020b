"""Turns that own themselves: who reads them, what stops them, and what they give back."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import pytest

from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.admission import Admission
from services.gateway.api import (
    Ask,
    ChoiceEnded,
    Completed,
    Draining,
    Failed,
    Finish,
    InvalidKey,
    LeaseLost,
    MeshFull,
    Numbered,
    Response,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.gateway.authenticator import Principal
from services.gateway.live_turns import LiveTurns, TurnBounds
from services.gateway.ports import LedgerEntry
from services.gateway.reply import TurnProgress
from services.gateway.sealing import Sealer
from services.inference.api import Usage
from services.shared.background import in_background
from services.shared.conversation import Message, Role, said
from services.shared.errors import MeshError, Overloaded
from services.shared.ids import root_of
from tests.fakes.mesh import BOUNDS, PERSON, CountedLedger, alone, limits_of

SEALER = Sealer(b"secret", PERSON.id)
ADA = Principal(PERSON, "key1", SEALER)
HELLO = Ask("demo", (said("msg_0", Role.USER, "hello"),))


@dataclass(slots=True)
class WordLoop:
    """`Turns` that says numbered words, a token each, as fast as it is let."""

    words: int = 10
    failure: Exception | None = None
    # Before which word it waits, and for what.
    pause_before: int = -1
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    written: int = 0
    running: int = 0
    # Whether it fails before it has started.
    refuses: bool = False
    # Of the turn that runs.
    progress: TurnProgress = field(default_factory=lambda: TurnProgress(""))
    # Those that failed or were cancelled.
    recorded: list[Response] = field(default_factory=list)

    async def run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]:
        self.running += 1
        self.progress = progress
        try:
            if self.refuses and self.failure:
                raise self.failure
            yield Started(progress.response_id, 1, ask.model)
            for number in range(self.words):
                if number == self.pause_before:
                    self.paused.set()
                    await self.go_on.wait()
                self.written += 1
                progress.used = Usage(prompt_tokens=5, completion_tokens=self.written)
                yield TextDelta(0, "msg_1", f"{number} ")
                if progress.too_many_events:
                    yield ChoiceEnded(0, Finish.TOO_MANY_EVENTS)
                    break
                await asyncio.sleep(0)
            if self.failure:
                raise self.failure
            yield Completed(_response(progress))
        finally:
            self.running -= 1

    def record_now(self) -> None:
        """The turn has come to its end, and is being kept."""
        self.progress.recording = True

    async def count(self, principal: Principal, ask: Ask) -> int:
        return self.words

    async def record_failed(self, progress: TurnProgress, response: Response) -> None:
        self.recorded.append(response)


def _response(progress: TurnProgress) -> Response:
    status = Status.TOO_MANY_EVENTS if progress.too_many_events else Status.COMPLETED
    return Response(progress.response_id, "demo", "", 1, 2, status, (), progress.used)


class Turns:
    """Live turns over a loop, and all that they hold."""

    def __init__(self, loop: WordLoop, bounds: TurnBounds = BOUNDS, max_turns: int = 8) -> None:
        self.loop = loop
        self.now = 1000.0
        self.journal = InMemoryJournal(lambda: self.now, max_bytes=10_000_000)
        self.admission = Admission(max_turns=max_turns)
        self.ledger = CountedLedger()
        self.live = LiveTurns(
            loop,
            self.journal,
            self.admission,
            self.ledger,
            alone(),
            limits=limits_of(),
            bounds=bounds,
        )

    async def read(self, response_id: str, after: int = -1) -> list[Numbered]:
        async with asyncio.timeout(20), aclosing(self.live.read(response_id, after)) as events:
            return [numbered async for numbered in events]

    def check_given_back(self, tokens: int) -> None:
        """Nothing is held any more, and the bill was written once, with what was used."""
        assert self.admission.under_way == 0
        assert self.loop.running == 0
        assert [entry.usage.completion_tokens for entry in self.ledger.entries] == [tokens]


def words(events: Sequence[Numbered]) -> list[str]:
    return [each.event.text.strip() for each in events if isinstance(each.event, TextDelta)]


def expected(count: int) -> list[str]:
    return list(map(str, range(count)))


async def test_a_turn_runs_to_its_end_and_gives_everything_back() -> None:
    turns = Turns(WordLoop(10))
    events = await turns.read(await turns.live.start(ADA, HELLO))
    assert [each.number for each in events] == list(range(12))
    assert isinstance(events[0].event, Started)
    assert words(events) == expected(10)
    assert isinstance(events[-1].event, Completed)
    turns.check_given_back(10)
    (entry,) = turns.ledger.entries
    assert (entry.scope.organisation, entry.key_id, entry.model) == ("acct_1", "key1", "demo")


async def test_the_bill_is_written_before_anybody_hears_that_the_turn_is_complete() -> None:
    turns = Turns(WordLoop(3))
    async with aclosing(turns.live.read(await turns.live.start(ADA, HELLO))) as events:
        async for numbered in events:
            if isinstance(numbered.event, Completed):
                assert len(turns.ledger.entries) == 1


async def test_a_response_continues_the_conversation_of_its_parent() -> None:
    turns = Turns(WordLoop(1))
    first = await turns.live.start(ADA, HELLO)
    second = await turns.live.start(ADA, replace(HELLO, previous_response_id=first))
    third = await turns.live.start(ADA, replace(HELLO, previous_response_id=second))
    assert root_of(first) == root_of(second) == root_of(third) == first
    assert len({first, second, third}) == 3
    await turns.live.stop(grace=5)


async def test_one_reader_that_reads_nothing_until_the_other_is_done() -> None:
    """It slows nobody: the turn is ten times longer than what may be ahead of one reader."""
    turns = Turns(WordLoop(2600))
    response_id = await turns.live.start(ADA, HELLO)
    async with aclosing(turns.live.read(response_id)) as slow:
        first = await anext(slow)
        quick = await turns.read(response_id)
        assert turns.loop.written == 2600
        assert [first, *[numbered async for numbered in slow]] == quick
    assert words(quick) == expected(2600)


async def test_one_reader_that_comes_at_event_1000() -> None:
    turns = Turns(WordLoop(2600))
    response_id = await turns.live.start(ADA, HELLO)
    early: list[Numbered] = []
    late: asyncio.Task[list[Numbered]] | None = None
    async with aclosing(turns.live.read(response_id)) as events:
        async for numbered in events:
            early.append(numbered)
            if numbered.number == 1000:
                late = asyncio.create_task(turns.read(response_id))
    assert late
    assert await late == early
    assert words(early) == expected(2600)


async def test_one_reader_that_leaves_and_comes_back() -> None:
    turns = Turns(WordLoop(2600))
    response_id = await turns.live.start(ADA, HELLO)
    staying = asyncio.create_task(turns.read(response_id))
    seen: list[Numbered] = []
    while not seen or not isinstance(seen[-1].event, Completed):
        async with aclosing(turns.live.read(response_id, len(seen) - 1)) as events:
            seen += [await anext(events) for _ in range(min(500, 2602 - len(seen)))]
    assert seen == await staying
    turns.check_given_back(2600)


async def test_nobody_reads_a_turn_in_the_background() -> None:
    turns = Turns(WordLoop(2600), replace(BOUNDS, event_bytes=10_000_000))
    response_id = await turns.live.start(ADA, replace(HELLO, background=True))
    await turns.live.stop(grace=20)
    assert turns.loop.written == 2600
    assert words(await turns.read(response_id)) == expected(2600)
    turns.check_given_back(2600)


async def test_a_turn_in_the_background_goes_on_when_its_reader_leaves() -> None:
    turns = Turns(WordLoop(600))
    response_id = await turns.live.start(ADA, replace(HELLO, background=True))
    async with aclosing(turns.live.read(response_id)) as events:
        await anext(events)
    assert turns.loop.running == 1
    assert words(await turns.read(response_id)) == expected(600)


async def test_the_only_reader_slows_the_turn_when_it_is_slow() -> None:
    turns = Turns(WordLoop(10_000))
    async with aclosing(turns.live.read(await turns.live.start(ADA, HELLO))) as events:
        await anext(events)
        for _ in range(3000):
            await asyncio.sleep(0)
        assert turns.loop.written < 300
        for _ in range(400):
            await anext(events)
        for _ in range(3000):
            await asyncio.sleep(0)
        assert 400 < turns.loop.written < 700


async def test_a_turn_in_the_background_waits_for_no_reader() -> None:
    turns = Turns(WordLoop(2600), replace(BOUNDS, event_bytes=10_000_000))
    response_id = await turns.live.start(ADA, replace(HELLO, background=True))
    async with aclosing(turns.live.read(response_id)) as events:
        await anext(events)
        await turns.live.stop(grace=20)
    assert turns.loop.written == 2600
    turns.check_given_back(2600)


async def test_the_last_reader_that_leaves_stops_it() -> None:
    turns = Turns(WordLoop(10, pause_before=4))
    response_id = await turns.live.start(ADA, HELLO)
    async with aclosing(turns.live.read(response_id)) as first:
        await anext(first)
        async with aclosing(turns.live.read(response_id)) as second:
            await anext(second)
            await asyncio.wait_for(turns.loop.paused.wait(), 5)
        assert turns.loop.running == 1
    turns.check_given_back(4)
    last = (await turns.read(response_id))[-1].event
    assert isinstance(last, Failed)
    assert last.status == "CANCELLED"


async def test_a_turn_that_nobody_comes_to_read_is_stopped() -> None:
    turns = Turns(WordLoop(10, pause_before=4), replace(BOUNDS, joining_seconds=0.01))
    response_id = await turns.live.start(ADA, HELLO)
    async with asyncio.timeout(5), aclosing(turns.journal.read(response_id)) as events:
        last = [numbered async for numbered in events][-1].event
    assert isinstance(last, Failed)
    turns.check_given_back(4)


async def test_a_failure_is_the_last_event() -> None:
    turns = Turns(WordLoop(3, failure=Overloaded("full", retry_after="2")))
    events = await turns.read(await turns.live.start(ADA, HELLO))
    last = events[-1].event
    assert isinstance(last, Failed)
    error = last.error()
    assert isinstance(error, Overloaded)
    assert (error.message, error.details) == ("full", {"retry_after": "2"})
    turns.check_given_back(3)


async def test_a_bug_loses_its_words() -> None:
    turns = Turns(WordLoop(3, failure=ValueError("the user's own words")))
    last = (await turns.read(await turns.live.start(ADA, HELLO)))[-1].event
    assert last == Failed("shared.InternalError", "INTERNAL", "internal error")
    turns.check_given_back(3)


class FullLedger(CountedLedger):
    """Refuses its first entries."""

    def __init__(self, refused: int) -> None:
        super().__init__()
        self.refused = refused

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        if self.refused:
            self.refused -= 1
            raise OSError("disk full")
        await super().add(entries)


@pytest.mark.parametrize(("refused", "written"), [(1, [3]), (2, [])])
async def test_a_bill_that_cannot_be_written_fails_the_turn_and_stalls_nobody(
    refused: int, written: list[int]
) -> None:
    turns = Turns(WordLoop(3))
    turns.ledger = FullLedger(refused)
    turns.live = LiveTurns(
        turns.loop,
        turns.journal,
        turns.admission,
        turns.ledger,
        alone(),
        limits=limits_of(),
        bounds=BOUNDS,
    )
    last = (await turns.read(await turns.live.start(ADA, HELLO)))[-1].event
    assert last == Failed("shared.InternalError", "INTERNAL", "internal error")
    assert [entry.usage.completion_tokens for entry in turns.ledger.entries] == written
    assert turns.admission.under_way == 0


async def test_a_turn_takes_only_so_long() -> None:
    turns = Turns(WordLoop(10, pause_before=4), replace(BOUNDS, turn_seconds=0.05))
    last = (await turns.read(await turns.live.start(ADA, HELLO)))[-1].event
    assert isinstance(last, Failed)
    assert last.status == "DEADLINE_EXCEEDED"
    turns.check_given_back(4)


async def test_a_turn_of_too_many_events_ends_incomplete() -> None:
    turns = Turns(WordLoop(100_000), replace(BOUNDS, event_bytes=20_000))
    events = await turns.read(await turns.live.start(ADA, HELLO))
    last = events[-1].event
    assert isinstance(last, Completed)
    assert last.response.status is Status.TOO_MANY_EVENTS
    assert 20 < len(events) < 200


async def test_whoever_has_lost_the_lease_stops_and_says_nothing_more() -> None:
    turns = Turns(WordLoop(10, pause_before=4))
    response_id = await turns.live.start(ADA, replace(HELLO, background=True))
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    turns.now += BOUNDS.lease_seconds + 1
    other = await turns.journal.claim(response_id, PERSON.scope(""), seconds=10, waited_for=False)
    turns.loop.go_on.set()
    await turns.live.stop(grace=5)
    await turns.journal.append(response_id, other, 5, TextDelta(0, "msg_1", "theirs"))
    await turns.journal.finish(response_id, other, keep_seconds=60)
    assert words(await turns.read(response_id)) == ["0", "1", "2", "3", "theirs"]
    assert turns.admission.under_way == 0


class WatchedJournal(InMemoryJournal):
    """Tells when a lease was renewed, or refused to be."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock, max_bytes=10_000_000)
        self.renewed = asyncio.Event()

    async def renew(self, response_id: str, epoch: int, *, seconds: float) -> None:
        try:
            await super().renew(response_id, epoch, seconds=seconds)
        finally:
            self.renewed.set()


async def silent(seconds: float) -> tuple[Turns, WatchedJournal, str]:
    """A turn that has nothing to say, and whose lease lasts so long."""
    turns = Turns(WordLoop(10, pause_before=4), replace(BOUNDS, lease_seconds=seconds))
    journal = WatchedJournal(lambda: turns.now)
    turns.journal = journal
    turns.live = LiveTurns(
        turns.loop,
        journal,
        turns.admission,
        turns.ledger,
        alone(),
        limits=limits_of(),
        bounds=replace(BOUNDS, lease_seconds=seconds),
    )
    response_id = await turns.live.start(ADA, replace(HELLO, background=True))
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    return turns, journal, response_id


async def test_leases_are_kept_while_a_turn_is_silent() -> None:
    turns, journal, response_id = await silent(0.03)
    turns.now += 0.02
    async with in_background(turns.live.keep_leases):
        await asyncio.wait_for(journal.renewed.wait(), 5)
    turns.now += 0.02  # more than the first lease lasted
    with pytest.raises(LeaseLost):
        await journal.claim(response_id, PERSON.scope(""), seconds=10, waited_for=False)
    await turns.live.stop(grace=0)


async def test_a_turn_whose_lease_was_taken_is_stopped_while_it_is_silent() -> None:
    turns, journal, response_id = await silent(0.03)
    turns.now += 1
    await journal.claim(response_id, PERSON.scope(""), seconds=10, waited_for=False)
    async with in_background(turns.live.keep_leases):
        await asyncio.wait_for(journal.renewed.wait(), 5)
        await turns.live.stop(grace=5)
    assert turns.admission.under_way == turns.loop.running == 0
    assert turns.ledger.entries == []  # whoever writes its events now writes its bill, too


async def test_turns_of_a_revoked_key_are_stopped_and_no_others() -> None:
    turns = Turns(WordLoop(pause_before=1))
    await turns.ledger.add_account(PERSON)
    await turns.ledger.add_key("key1", PERSON.id, b"print")
    await turns.ledger.add_key("key2", PERSON.id, b"print")
    cut = await turns.live.start(ADA, replace(HELLO, background=True))
    left = await turns.live.start(Principal(PERSON, "key2", SEALER), HELLO)
    reading = [asyncio.create_task(turns.read(each)) for each in (cut, left)]
    await turns.loop.paused.wait()
    await turns.ledger.revoke_key("key1")
    await turns.live.stop_revoked(turns.ledger)
    last = (await reading[0])[-1].event
    assert isinstance(last, Failed)
    assert isinstance(last.error(), InvalidKey)
    turns.loop.go_on.set()
    assert isinstance((await reading[1])[-1].event, Completed)


async def test_nobody_is_let_in_while_it_stops() -> None:
    turns = Turns(WordLoop(10, pause_before=4))
    response_id = await turns.live.start(ADA, HELLO)
    reading = asyncio.create_task(turns.read(response_id))
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    stopping = asyncio.create_task(turns.live.stop(grace=20))
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        await turns.live.start(ADA, HELLO)
    assert not stopping.done()
    turns.loop.go_on.set()
    await stopping
    assert words(await reading) == expected(10)


async def test_what_does_not_end_within_the_grace_is_stopped() -> None:
    turns = Turns(WordLoop(10, pause_before=4))
    reading = asyncio.create_task(turns.read(await turns.live.start(ADA, HELLO)))
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    await turns.live.stop(grace=0.01)
    last = (await reading)[-1].event
    assert isinstance(last, Failed)
    assert "shutting down" in last.message
    turns.check_given_back(4)


async def test_a_turn_that_is_not_admitted_holds_nothing() -> None:
    turns = Turns(WordLoop(10, pause_before=4), max_turns=1)
    reading = asyncio.create_task(turns.read(await turns.live.start(ADA, HELLO)))
    with pytest.raises(MeshFull):
        await turns.live.start(ADA, HELLO)
    turns.loop.go_on.set()
    await reading
    turns.check_given_back(10)


async def test_presenting_from_the_journal_needs_no_turn() -> None:
    turns = Turns(WordLoop(5))
    response_id = await turns.live.start(ADA, HELLO)
    live = await turns.read(response_id)
    assert await turns.read(response_id) == live
    assert await turns.read(response_id, after=3) == live[4:]


async def test_one_in_the_background_that_fails_is_recorded_with_what_it_said() -> None:
    turns = Turns(WordLoop(3, failure=Overloaded("full")))
    events = await turns.read(await turns.live.start(ADA, replace(HELLO, background=True)))
    (kept,) = turns.loop.recorded
    assert (kept.status, kept.error) == (Status.FAILED, events[-1].event)
    (item,) = kept.output
    assert isinstance(item, Message)
    assert item.text == "0 1 2 "
    turns.check_given_back(3)


async def test_one_that_is_cancelled_is_recorded_and_gives_everything_back() -> None:
    turns = Turns(WordLoop(9, pause_before=4))
    response_id = await turns.live.start(ADA, replace(HELLO, background=True))
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    await turns.live.cancel(response_id)
    assert not turns.live.is_under_way(response_id)
    assert [kept.status for kept in turns.loop.recorded] == [Status.CANCELLED]
    *_, last = await turns.read(response_id)
    assert isinstance(last.event, Failed)
    assert last.event.ends_as is Status.CANCELLED
    await turns.live.cancel(response_id)  # again, it does nothing
    turns.check_given_back(4)


async def test_one_that_is_being_recorded_is_not_cancelled_any_more() -> None:
    """Its caller is told that it has ended, and not that it was cancelled."""
    turns = Turns(WordLoop(9, pause_before=4))
    response_id = await turns.live.start(ADA, replace(HELLO, background=True))
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    turns.loop.record_now()
    cancelling = asyncio.create_task(turns.live.cancel(response_id))
    await asyncio.sleep(0)
    turns.loop.go_on.set()
    await cancelling
    *_, last = await turns.read(response_id)
    assert isinstance(last.event, Completed)
    assert not turns.loop.recorded


@pytest.mark.parametrize("background", [False, True])
async def test_one_that_is_erased_is_not_recorded(background: bool) -> None:
    turns = Turns(WordLoop(9, pause_before=4))
    response_id = await turns.live.start(ADA, replace(HELLO, background=background))
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    await turns.live.erase(response_id)
    assert not turns.live.is_under_way(response_id)
    assert not turns.loop.recorded
    turns.check_given_back(4)


@pytest.mark.parametrize(
    ("words", "failure", "asked", "kept"),
    [
        (3, Overloaded("full", retry_after="1"), HELLO, True),
        (3, Overloaded("full"), replace(HELLO, store=False), False),
        (3, Overloaded("full"), replace(HELLO, tells_id=False), False),
        (0, Overloaded("full", retry_after="1"), HELLO, False),
        (0, Overloaded("full"), HELLO, True),
    ],
    ids=["said", "not to be stored", "its id is not told", "refused", "began"],
)
async def test_one_in_the_foreground_that_fails_is_recorded_if_it_can_be_found(
    words: int, failure: MeshError, asked: Ask, kept: bool
) -> None:
    turns = Turns(WordLoop(words, failure=failure))
    assert await turns.read(await turns.live.start(ADA, asked))
    assert bool(turns.loop.recorded) is kept


async def test_one_that_fails_before_it_starts_is_no_response() -> None:
    turns = Turns(WordLoop(failure=Overloaded("full"), refuses=True))
    (only,) = await turns.read(await turns.live.start(ADA, replace(HELLO, background=True)))
    assert isinstance(only.event, Failed)
    assert not turns.loop.recorded
