"""What is awaited at once ends at once."""

import asyncio

import pytest

from services.gateway.together import both, together


async def value(of: int) -> int:
    await asyncio.sleep(0)
    return of


async def test_both_results_are_given() -> None:
    assert await both(value(1), value(2)) == (1, 2)


async def test_the_first_failure_cancels_the_other() -> None:
    cancelled = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await both(waits(), fails())
    assert cancelled.is_set()


async def test_our_own_cancellation_cancels_all() -> None:
    tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(3)]
    waiting = asyncio.create_task(together(tasks))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert all(task.cancelled() for task in tasks)
