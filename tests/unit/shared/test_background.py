"""What becomes of work that nobody awaits."""

import asyncio
import io

import pytest

from services.shared import background
from services.shared.background import failure_of, in_background
from services.shared.errors import InternalError, NotFound
from tests.fakes.logs import logged_to


async def test_work_ends_with_what_it_runs_beside() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with in_background(work):
        await asyncio.wait_for(begun.wait(), 1)
        assert not cancelled.is_set()
    assert cancelled.is_set()


async def test_a_cancellation_that_got_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_CANCELLED_AGAIN_SECONDS", 0.01)
    begun, lost = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    async def run() -> None:
        async with in_background(work):
            await begun.wait()

    await asyncio.wait_for(run(), 5)
    assert lost.is_set()


async def test_work_that_fails_is_logged_and_disturbs_nobody() -> None:
    logged, begun = io.StringIO(), asyncio.Event()

    async def work() -> None:
        begun.set()
        raise ValueError("CANARY what the user said")

    with logged_to(logged):
        async with in_background(work):
            await asyncio.wait_for(begun.wait(), 1)
    assert "background work failed" in logged.getvalue()
    assert "ValueError" in logged.getvalue()
    assert "CANARY" not in logged.getvalue()


async def failing(error: Exception | None) -> None:
    if error:
        raise error


async def test_a_failure_that_a_caller_can_act_on_is_told_as_it_is() -> None:
    missing = NotFound("no such turn")
    assert await failure_of(failing(missing)) is missing
    assert await failure_of(failing(None)) is None


async def test_a_bug_is_logged_and_told_without_its_words() -> None:
    logged = io.StringIO()
    with logged_to(logged):
        failure = await failure_of(failing(ValueError("CANARY what the user said")))
    assert isinstance(failure, InternalError)
    assert failure.message == "internal error"
    assert "ValueError" in logged.getvalue()
    assert "CANARY" not in logged.getvalue()
