"""A dead engine takes its service down."""

import asyncio
from typing import Never

import pytest

from services.inference.api import EngineDead
from services.inference.wiring import ended_by


async def die_when(told: asyncio.Event) -> Never:
    await told.wait()
    raise EngineDead("dead")


async def test_what_the_guard_raises_ends_what_runs_beside_it() -> None:
    told = asyncio.Event()
    with pytest.raises(EngineDead):
        async with ended_by(die_when(told)):
            told.set()
            await asyncio.Event().wait()


async def test_nothing_else_is_touched() -> None:
    with pytest.raises(LookupError):
        async with ended_by(die_when(asyncio.Event())):
            raise LookupError


async def test_leaving_ends_the_guard() -> None:
    before = asyncio.all_tasks()
    async with ended_by(die_when(asyncio.Event())):
        (guard,) = asyncio.all_tasks() - before
    await asyncio.wait([guard], timeout=5)
    assert guard.cancelled()


async def test_being_cancelled_oneself_is_no_death() -> None:
    async def serve() -> None:
        async with ended_by(die_when(asyncio.Event())):
            entered.set()
            await asyncio.Event().wait()

    entered = asyncio.Event()
    task = asyncio.create_task(serve())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
