"""Replicas that leave in the middle of a call: whoever called goes on at another."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing

import pytest

from services.moderation.api import Direction, Grown, Release, Verdict
from services.moderation.client import connect_moderation
from services.shared.errors import Unavailable
from tests.unit.shared.test_channel import PassesAll, served


class Slow(PassesAll):
    """Begins each call, and never answers; of a watch it answers the first growth."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError("never answers")

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        first = await anext(reply)
        yield Release(first.text)
        await anext(reply)
        self.begun.set()
        await asyncio.Event().wait()


class Counting(PassesAll):
    """Remembers what it was given to watch."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[str] = []

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        async for each in reply:
            self.watched.append(each.text)
            yield Release(each.text)
            if each.final:
                return


async def test_a_call_that_may_be_repeated_is_when_its_replica_leaves() -> None:
    slow, next_one = Slow(), PassesAll()
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        port = await first.enter_async_context(served(slow))
        client = await stack.enter_async_context(
            connect_moderation(f"127.0.0.1:{port}", timeout=20)
        )
        asking = asyncio.create_task(client.screen(["hello"], Direction.INPUT))
        await asyncio.wait_for(slow.begun.wait(), 5)
        await first.aclose()
        await stack.enter_async_context(served(next_one, port))
        assert len(await asyncio.wait_for(asking, 15)) == 1
        assert next_one.asked == 1


async def test_a_watch_goes_on_at_another_replica_when_its_own_leaves() -> None:
    """All that has grown so far is told there, and nothing of it is released twice."""
    slow, next_one = Slow(), Counting()
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        port = await first.enter_async_context(served(slow))
        client = await stack.enter_async_context(
            connect_moderation(f"127.0.0.1:{port}", timeout=20)
        )
        grown = asyncio.Queue[Grown]()

        async def reply() -> AsyncIterator[Grown]:
            while True:
                each = await grown.get()
                yield each
                if each.final:
                    return

        async with asyncio.timeout(15), aclosing(client.watch(reply())) as releases:
            grown.put_nowait(Grown("one ", final=False))
            assert (await anext(releases)).text == "one "
            grown.put_nowait(Grown("two ", final=False))
            second = asyncio.ensure_future(anext(releases))
            await slow.begun.wait()
            await first.aclose()
            await stack.enter_async_context(served(next_one, port))
            assert (await second).text == "two "
            grown.put_nowait(Grown("three", final=True))
            assert [release.text async for release in releases] == ["three"]
        assert next_one.watched == ["one ", "two ", "three"]


async def test_a_watch_that_nobody_takes_up_fails() -> None:
    slow = Slow()
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        port = await first.enter_async_context(served(slow))
        client = await stack.enter_async_context(
            connect_moderation(f"127.0.0.1:{port}", timeout=0.5)
        )

        async def reply() -> AsyncIterator[Grown]:
            yield Grown("one ", final=False)
            yield Grown("two ", final=False)
            await asyncio.Event().wait()

        async with asyncio.timeout(15), aclosing(client.watch(reply())) as releases:
            await anext(releases)
            await slow.begun.wait()
            await first.aclose()
            with pytest.raises(Unavailable):
                await anext(releases)
