import asyncio

from services.shared.signal import Signal


async def test_all_who_wait_are_woken_and_who_waits_later_by_the_next_one() -> None:
    signal = Signal()
    first = [asyncio.ensure_future(signal.wait()) for _ in range(3)]
    signal.notify()
    later = asyncio.ensure_future(signal.wait())
    await asyncio.wait_for(asyncio.gather(*first), 5)
    assert not later.done()
    signal.notify()
    await asyncio.wait_for(later, 5)


async def test_who_is_cancelled_is_not_kept() -> None:
    signal = Signal()

    async def wait() -> None:
        await signal.wait()

    tasks = [asyncio.create_task(wait()) for _ in range(100)]
    await asyncio.sleep(0)
    assert signal.waiting == 100
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert signal.waiting == 0
    signal.notify()


async def test_who_lets_a_task_wait_misses_nothing_before_the_task_has_begun() -> None:
    signal = Signal()
    waiting = asyncio.ensure_future(signal.wait())
    signal.notify()
    await asyncio.wait_for(waiting, 5)
