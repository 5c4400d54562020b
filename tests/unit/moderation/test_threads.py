import asyncio
import threading
from collections.abc import Iterator

import pytest

from services.moderation.threads import in_steps


async def test_the_steps_results_come_in_order() -> None:
    assert await in_steps(number * number for number in range(5)) == [0, 1, 4, 9, 16]


async def test_no_further_step_is_taken_once_the_caller_is_gone() -> None:
    begun, gone, ended = threading.Event(), threading.Event(), threading.Event()
    taken = []

    def steps() -> Iterator[int]:
        try:
            for number in range(1_000):
                taken.append(number)
                begun.set()
                assert gone.wait(timeout=10)
                yield number
        finally:
            ended.set()

    caller = asyncio.create_task(in_steps(steps()))
    assert await asyncio.to_thread(begun.wait, 10)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gone.set()
    assert await asyncio.to_thread(ended.wait, 10)
    assert taken == [0]


async def test_what_a_step_raises_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_steps(1 // number for number in (1, 0))
