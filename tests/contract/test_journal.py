"""One suite for every journal of turns' events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.adapters.mirrored_journal import MirroredJournal
from services.gateway.adapters.redis_channels import Channels
from services.gateway.adapters.redis_journal import RedisJournal
from services.gateway.api import EventsGone, LeaseLost, TextDelta
from services.gateway.ports import Journal
from services.shared.redis import RedisUnavailable, open_redis
from services.shared.scope import Scope
from tests.fakes.unfenced import Unfenced
from tests.servers.redis import RedisServer, RedisServers, redis_servers

__all__ = ["redis_servers"]

ADA = Scope("acme", "main", "ada")
TURN = "resp_1"


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Opened:
    journal: Journal
    # Moves the journal's time on, by seconds.
    wait: Callable[[float], None]


@asynccontextmanager
async def in_memory(max_bytes: int) -> AsyncIterator[Opened]:
    clock = Clock()

    def wait(seconds: float) -> None:
        clock.now += seconds

    yield Opened(InMemoryJournal(clock, max_bytes=max_bytes), wait)


@asynccontextmanager
async def in_redis(
    server: RedisServer, kind: type[RedisJournal] = RedisJournal
) -> AsyncIterator[Opened]:
    url = server.own_url()
    async with open_redis(url) as store, Channels.following(store) as channels:
        yield Opened(
            kind(store, channels, gateway="one"),
            lambda seconds: server.pass_time(store.prefix, seconds),
        )


@asynccontextmanager
async def mirrored(server: RedisServer) -> AsyncIterator[Opened]:
    async with in_redis(server) as inner, in_memory(max_bytes=100_000) as memory:
        assert isinstance(inner.journal, RedisJournal)
        assert isinstance(memory.journal, InMemoryJournal)

        def wait(seconds: float) -> None:
            inner.wait(seconds)
            memory.wait(seconds)

        both = MirroredJournal(inner.journal, memory.journal, time.monotonic, patience_seconds=5)
        yield Opened(both, wait)


@pytest.fixture(params=["in memory", "redis", "redis cluster", "mirrored"])
async def opened(
    request: pytest.FixtureRequest, redis_servers: RedisServers
) -> AsyncIterator[Opened]:
    if request.param == "in memory":
        async with in_memory(max_bytes=100_000) as here:
            yield here
        return
    opening = mirrored if request.param == "mirrored" else in_redis
    async with opening(redis_servers(clustered="cluster" in request.param)) as here:
        yield here


def said(number: int) -> TextDelta:
    return TextDelta(0, "msg_1", f"word {number}")


async def written(journal: Journal, count: int, turn: str = TURN) -> int:
    """Claims a turn and appends so many events; the epoch."""
    epoch = await journal.claim(turn, ADA, seconds=10, waited_for=False)
    for number in range(count):
        await journal.append(turn, epoch, number, said(number))
    return epoch


async def heard(journal: Journal, after: int = -1, turn: str = TURN) -> list[int]:
    """The numbers that a reader gets, to the end; each with its own event."""
    numbers = []
    async with asyncio.timeout(20), aclosing(journal.read(turn, after)) as events:
        async for numbered in events:
            assert numbered.event == said(numbered.number)
            numbers.append(numbered.number)
    return numbers


async def test_every_reader_gets_every_event_in_order(opened: Opened) -> None:
    journal = opened.journal
    epoch = await journal.claim(TURN, ADA, seconds=10, waited_for=False)
    readers = [asyncio.create_task(heard(journal)) for _ in range(3)]
    for number in range(50):
        await journal.append(TURN, epoch, number, said(number))
        await asyncio.sleep(0)
    await journal.finish(TURN, epoch, keep_seconds=60)
    for numbers in await asyncio.gather(*readers, heard(journal)):
        assert numbers == list(range(50))


@pytest.mark.parametrize("waited_for", [False, True])
async def test_a_turn_that_redis_forgot_is_nobody_elses(
    waited_for: bool, redis_servers: RedisServers
) -> None:
    """A lease that finds that out is not lost: the turn's own end is the one that is told."""
    server = redis_servers(clustered=False)
    async with mirrored(server) as opened:
        journal = opened.journal
        epoch = await journal.claim(TURN, ADA, seconds=10, waited_for=waited_for)
        await journal.append(TURN, epoch, 0, said(0))
        forgotten = server.client.delete(*server.client.keys(f"*{{{TURN}}}*"))
        assert forgotten
        await journal.renew(TURN, epoch, seconds=10)
        assert journal.is_alone(TURN) == waited_for
        if waited_for:
            await journal.append(TURN, epoch, 1, said(1))
            await journal.finish(TURN, epoch, keep_seconds=60)
            assert await heard(journal) == [0, 1]
            return
        with pytest.raises(RedisUnavailable, match="forgotten"):
            await journal.append(TURN, epoch, 1, said(1))


async def test_a_reader_begins_where_it_stopped(opened: Opened) -> None:
    epoch = await written(opened.journal, 20)
    await opened.journal.finish(TURN, epoch, keep_seconds=60)
    assert await heard(opened.journal, after=12) == list(range(13, 20))
    assert await heard(opened.journal, after=19) == []


async def test_a_reader_that_came_too_early_waits(opened: Opened) -> None:
    epoch = await written(opened.journal, 2)
    async with aclosing(opened.journal.read(TURN, after=1)) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert not waiting.done()
        await opened.journal.append(TURN, epoch, 2, said(2))
        assert (await asyncio.wait_for(waiting, 5)).number == 2


async def test_appending_a_number_again_changes_nothing(opened: Opened) -> None:
    epoch = await written(opened.journal, 3)
    kept = await opened.journal.append(TURN, epoch, 2, said(2))
    assert kept == await opened.journal.append(TURN, epoch, 2, said(99))
    await opened.journal.finish(TURN, epoch, keep_seconds=60)
    assert await heard(opened.journal) == [0, 1, 2]


async def test_numbers_have_no_gaps(opened: Opened) -> None:
    epoch = await written(opened.journal, 3)
    with pytest.raises(ValueError, match="event 4"):
        await opened.journal.append(TURN, epoch, 4, said(4))


async def test_it_says_how_much_is_kept(opened: Opened) -> None:
    epoch = await written(opened.journal, 0)
    few = await opened.journal.append(TURN, epoch, 0, TextDelta(0, "msg_1", "x"))
    many = await opened.journal.append(TURN, epoch, 1, TextDelta(0, "msg_1", "x" * 5000))
    assert 0 < few < 5000 < many - few


async def test_a_lease_belongs_to_one_until_it_runs_out(opened: Opened) -> None:
    await written(opened.journal, 1)
    opened.wait(9)
    with pytest.raises(LeaseLost):
        await opened.journal.claim(TURN, ADA, seconds=10, waited_for=False)
    opened.wait(2)
    assert await opened.journal.claim(TURN, ADA, seconds=10, waited_for=False) > 1


async def test_a_renewed_lease_lasts(opened: Opened) -> None:
    epoch = await written(opened.journal, 1)
    opened.wait(9)
    await opened.journal.renew(TURN, epoch, seconds=10)
    opened.wait(9)
    with pytest.raises(LeaseLost):
        await opened.journal.claim(TURN, ADA, seconds=10, waited_for=False)


async def test_a_writer_that_slept_through_its_lease_can_do_nothing_more(opened: Opened) -> None:
    """Both believe that they write. Without the fence, the reader would see events twice."""
    journal = opened.journal
    asleep = await written(journal, 3)
    opened.wait(11)
    awake = await journal.claim(TURN, ADA, seconds=10, waited_for=False)
    refused = 0
    for number in range(3, 9):
        try:
            await journal.append(TURN, asleep, number, TextDelta(0, "msg_1", "stale"))
        except LeaseLost:
            refused += 1
        await journal.append(TURN, awake, number, said(number))
    for attempt in (
        journal.renew(TURN, asleep, seconds=10),
        journal.finish(TURN, asleep, keep_seconds=60),
    ):
        with pytest.raises(LeaseLost):
            await attempt
    await journal.finish(TURN, awake, keep_seconds=60)
    assert refused == 6
    assert await heard(journal) == list(range(9))


async def test_nothing_follows_the_end(opened: Opened) -> None:
    epoch = await written(opened.journal, 1)
    await opened.journal.finish(TURN, epoch, keep_seconds=60)
    for attempt in (
        opened.journal.append(TURN, epoch, 1, said(1)),
        opened.journal.claim(TURN, ADA, seconds=10, waited_for=False),
    ):
        with pytest.raises(LeaseLost):
            await attempt


async def test_events_are_dropped_whole_some_time_after_the_end(opened: Opened) -> None:
    journal = opened.journal
    epoch = await written(journal, 5)
    opened.wait(1000)
    await journal.renew(TURN, epoch, seconds=10)
    await journal.finish(TURN, epoch, keep_seconds=60)
    opened.wait(59)
    assert await heard(journal) == list(range(5))
    opened.wait(2)
    with pytest.raises(EventsGone):
        await heard(journal, after=3)
    with pytest.raises(EventsGone):
        await journal.owner(TURN)


async def test_a_reader_in_the_middle_is_told_that_they_were_dropped(opened: Opened) -> None:
    journal = opened.journal
    epoch = await written(journal, 300)
    await journal.finish(TURN, epoch, keep_seconds=60)
    async with aclosing(journal.read(TURN)) as events:
        assert (await anext(events)).number == 0
        opened.wait(61)
        await written(journal, 1, turn="resp_2")
        with pytest.raises(EventsGone):
            async for numbered in events:  # some may have been fetched already
                assert numbered.number < 299


async def test_whose_turn_it_is_is_known(opened: Opened) -> None:
    await written(opened.journal, 1)
    assert await opened.journal.owner(TURN) == ADA
    for attempt in (opened.journal.owner("resp_2"), anext(opened.journal.read("resp_2"))):
        with pytest.raises(EventsGone):
            await attempt


async def test_the_oldest_ended_turns_make_room() -> None:
    async with in_memory(max_bytes=3000) as opened:
        for turn in ("resp_1", "resp_2", "resp_3"):
            epoch = await opened.journal.claim(turn, ADA, seconds=10, waited_for=False)
            await opened.journal.append(turn, epoch, 0, TextDelta(0, "msg_1", "x" * 1000))
            await opened.journal.finish(turn, epoch, keep_seconds=60)
        with pytest.raises(EventsGone):
            await opened.journal.owner("resp_1")
        assert await opened.journal.owner("resp_3") == ADA


async def test_what_was_appended_until_now_is_there_at_once(opened: Opened) -> None:
    journal = opened.journal
    epoch = await written(journal, 3)
    assert list(await journal.so_far(TURN)) == [said(number) for number in range(3)]
    await journal.finish(TURN, epoch, keep_seconds=10)
    assert len(await journal.so_far(TURN)) == 3
    opened.wait(11)
    for turn in (TURN, "resp_never"):
        with pytest.raises(EventsGone):
            await journal.so_far(turn)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 40])
async def test_the_first_event_and_the_last_two_tell_how_a_turn_stands(
    opened: Opened, count: int
) -> None:
    await written(opened.journal, count)
    told = [said(number) for number in range(count)]
    assert list(await opened.journal.ends(TURN)) == [*told[:1], *told[1:][-2:]]
    with pytest.raises(EventsGone):
        await opened.journal.ends("resp_never")


async def test_steps_are_kept_with_the_next_event(opened: Opened) -> None:
    journal = opened.journal
    epoch = await written(journal, 1)
    for step in (b"first", b"second"):
        await journal.note(TURN, epoch, step)
    await journal.append(TURN, epoch, 1, said(1))
    await journal.note(TURN, epoch, b"third")
    await journal.keep_notes(TURN, epoch)
    assert list(await journal.notes(TURN)) == [b"first", b"second", b"third"]
    assert await journal.first_note(TURN) == b"first"
    with pytest.raises(EventsGone):
        await journal.notes("resp_never")


async def test_who_goes_on_with_a_turn_adds_to_its_steps(opened: Opened) -> None:
    journal = opened.journal
    asleep = await written(journal, 1)
    await journal.note(TURN, asleep, b"first")
    await journal.append(TURN, asleep, 1, said(1))
    opened.wait(11)
    awake = await journal.claim(TURN, ADA, seconds=10, waited_for=False)
    await journal.note(TURN, awake, b"second")
    await journal.append(TURN, awake, 2, said(2))
    assert list(await journal.notes(TURN)) == [b"first", b"second"]
    with pytest.raises(LeaseLost):
        await journal.keep_notes(TURN, asleep)


async def test_turns_without_a_writer_are_told(opened: Opened) -> None:
    journal = opened.journal
    await written(journal, 2, turn="resp_left")
    ended = await written(journal, 1, turn="resp_ended")
    await journal.finish("resp_ended", ended, keep_seconds=60)
    assert list(await journal.abandoned()) == []
    opened.wait(11)
    await written(journal, 1, turn="resp_new")
    assert list(await journal.abandoned()) == ["resp_left"]
    await journal.claim("resp_left", ADA, seconds=10, waited_for=False)
    assert list(await journal.abandoned()) == []


@pytest.mark.parametrize(("kind", "doubled"), [(RedisJournal, 0), (Unfenced, 6)])
async def test_two_gateways_that_both_believe_to_write(
    kind: type[RedisJournal], doubled: int, redis_servers: RedisServers
) -> None:
    """Two processes' adapters on one server; one sleeps past its lease. Unfenced, it is seen."""
    server = redis_servers()
    async with in_redis(server, kind) as opened:
        journal = opened.journal
        assert isinstance(journal, kind)
        asleep = await written(journal, 3)
        async with Channels.following(journal.store) as channels:
            other = kind(journal.store, channels, gateway="two")
            opened.wait(11)
            awake = await other.claim(TURN, ADA, seconds=10, waited_for=False)
            refused = 0
            for number in range(3, 9):
                await other.append(TURN, awake, number, said(number))
                try:
                    await journal.append(TURN, asleep, number, said(number))
                except LeaseLost:
                    refused += 1
            await other.finish(TURN, awake, keep_seconds=60)
            events = [numbered.event async for numbered in other.read(TURN)]
    assert refused == 6 - doubled
    assert len(events) == 9 + doubled


@pytest.mark.parametrize("clustered", [False, True])
async def test_a_claim_whose_answer_came_too_late_is_sent_again(
    clustered: bool, redis_servers: RedisServers
) -> None:
    """Redis had done it; the client, which waits for an answer no longer, sends it once more."""
    async with in_redis(redis_servers(clustered=clustered)) as opened:
        journal = opened.journal
        assert isinstance(journal, RedisJournal)
        claim = journal._claim

        async def sent_twice(*sent: Any) -> Any:
            await claim(*sent)
            return await claim(*sent)

        journal._claim = sent_twice  # type: ignore[assignment]
        epoch = await written(journal, 3)
        assert epoch == 1
        await journal.finish(TURN, epoch, keep_seconds=60)
        assert await heard(journal) == [0, 1, 2]
