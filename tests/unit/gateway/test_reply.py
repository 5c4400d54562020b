"""A reply over its rounds: what was used, what was written, and how it ends."""

from itertools import count

import pytest

from services.gateway.api import Finish, ItemDone, Status, TextDelta
from services.gateway.guard import OutputModeration, guards
from services.gateway.reply import Reply, TurnProgress
from services.inference.api import CallDelta, Delta, FinishReason, Piece, Usage
from services.shared.conversation import Call, CallOutcome, Text
from services.shared.errors import Unavailable
from services.shared.tools import Tool
from tests.fakes.moderation import WordModeration

PROMPT = (7, 7, 7)


def reply(
    *functions: str, choices: int = 1, mode: OutputModeration = OutputModeration.BLOCK
) -> tuple[Reply, TurnProgress]:
    numbers, progress = count(1), TurnProgress("resp_1")
    made = Reply(
        {name: Tool(name, "", "{}") for name in functions},
        guards(WordModeration(), mode),
        lambda prefix: f"{prefix}_{next(numbers)}",
        progress,
        choices=choices,
        seal=None,
    )
    return made, progress


def piece(*ids: int, text: str, index: int = 0) -> Piece:
    return Piece((Delta(index, ids=ids, text=text),))


def end(index: int = 0, usage: Usage | None = None) -> Piece:
    return Piece((Delta(index, finish_reason=FinishReason.STOP),), usage)


async def test_what_the_engine_reports_is_the_usage() -> None:
    made, progress = reply()
    async with made.round(PROMPT):
        await made.hear(piece(1, 2, text="hello "))
        await made.hear(end(usage=Usage(3, 1, 2, 0)))
    assert progress.used == made.usage == Usage(3, 1, 2, 0)
    assert made.status is Status.COMPLETED


async def test_a_round_that_was_left_early_has_used_what_was_heard() -> None:
    made, progress = reply()
    with pytest.raises(Unavailable):
        async with made.round(PROMPT):
            await made.hear(piece(1, 2, text="hello "))
            raise Unavailable("gone")
    assert progress.used == Usage(prompt_tokens=3, completion_tokens=2)


async def test_a_prompt_that_was_refused_was_not_read() -> None:
    made, progress = reply()
    with pytest.raises(Unavailable):
        async with made.round(PROMPT):
            raise Unavailable("gone")
    assert progress.used == Usage()


async def test_usage_adds_up_over_rounds() -> None:
    made, progress = reply()
    for _ in range(2):
        async with made.round(PROMPT):
            await made.hear(piece(1, text="hello "))
            await made.hear(end(usage=Usage(3, 0, 1, 0)))
    assert progress.used == Usage(6, 0, 2, 0)


async def test_what_was_written_in_the_last_round_is_known() -> None:
    made, _ = reply()
    async with made.round(PROMPT):
        await made.hear(piece(1, 2, text="hello "))
        await made.hear(end())
    async with made.round((7, 7, 7, 1, 2)):
        await made.hear(piece(3, text="again "))
        await made.hear(piece(4, 5, text="and again"))
        await made.hear(end())
    assert list(made.written_ids) == [3, 4, 5]


@pytest.mark.parametrize("text", ["the secret is out", "a forbidden thing"])
async def test_nothing_written_is_known_where_any_of_it_was_masked_or_withheld(text: str) -> None:
    made, _ = reply()
    async with made.round(PROMPT):
        await made.hear(piece(1, text="first "))
        await made.hear(piece(2, 3, text=text))
        await made.hear(end())
    assert list(made.written_ids) == []


async def test_nor_where_it_was_stopped_after_it_was_shown() -> None:
    made, _ = reply(mode=OutputModeration.PARALLEL)
    async with made.round(PROMPT):
        events = await made.hear(piece(1, text="a forbidden thing"))
        events += await made.hear(end())
    assert any(isinstance(event, TextDelta) for event in events)
    assert made.status is Status.CONTENT_FILTER
    assert list(made.written_ids) == []


async def test_own_calls_wait_until_they_have_run() -> None:
    made, _ = reply()
    async with made.round(PROMPT):
        await made.hear(Piece((Delta(0, (1,), calls=(CallDelta(0, "double", "{}"),)),)))
        await made.hear(end())
    (call,) = made.own_calls
    assert [ending.finish for ending in made.endings()] == [Finish.TOOL_ROUNDS]  # type: ignore[union-attr]
    made.ran(Call(call.id, call.call_id, "double", "{}", outcome=CallOutcome((Text("4"),))))
    assert made.own_calls == []
    assert [item.id for item in made.items] == [call.id]


async def test_choices_end_apart() -> None:
    made, _ = reply(choices=2)
    async with made.round(PROMPT):
        await made.hear(piece(1, text="one", index=0))
        await made.hear(end(0))
        assert not made.ended
        await made.hear(piece(2, text="two", index=1))
        await made.hear(end(1))
        assert made.ended
    assert len(made.items) == 1
    assert list(made.written_ids) == [1]


async def test_too_many_events_end_every_choice() -> None:
    made, progress = reply(choices=2, mode=OutputModeration.OFF)
    async with made.round(PROMPT):
        progress.too_many_events = True
        events = await made.hear(piece(1, text="one", index=0))
        assert made.ended
    assert any(isinstance(event, ItemDone) for event in events)
    assert made.status is Status.TOO_MANY_EVENTS
