"""A gateway that dies in the middle of a text while the model might still call a tool."""

import asyncio
from dataclasses import replace

import pytest

from services.gateway.api import Ask, Completed, Numbered, OwnTools
from services.shared.conversation import Call, Message, RunBy
from services.shared.tools import Tool
from tests.contract.test_gateways_together import (
    ALONE,
    Opened,
    Two,
    around,
    begun,
    check_unbroken,
    die_one_after_the_other,
    opened,
    redis_servers,
    text,
    whole,
)
from tests.fakes.word_engine import FIRST_ID

__all__ = ["around", "opened", "redis_servers"]
TELL = Tool("tell", "Tells somebody.", '{"type": "object"}')
OFFERED = replace(ALONE, functions=(TELL,))
OWN = replace(ALONE, own_tools=OwnTools())


async def killed_in_mid_text(two: Two, ask: Ask) -> list[Numbered]:
    """The whole stream, as a reader in the other gateway has it."""
    response_id = await begun(two, ask)
    reading = asyncio.create_task(two.second.read(response_id))
    two.first.die()
    two.around.pass_lease()
    await two.second.takeover.look()
    events = await reading
    assert [each.number for each in events] == [*range(len(events))]
    going_on, *_ = two.second.engine.generations
    told = going_on.begun_tokens
    assert 0 < told <= 25
    assert [*going_on.prompt_ids[-told:]] == [FIRST_ID + each for each in range(told)]
    assert going_on.calling.tools, "they are on offer still"
    return events


@pytest.mark.parametrize("ask", [OFFERED, OWN], ids=["the caller's", "the mesh's own"])
async def test_a_text_is_gone_on_with_though_tools_are_on_offer(ask: Ask, opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    check_unbroken(await killed_in_mid_text(two, ask), 60)
    (entry,) = two.around.ledger.entries
    assert (entry.usage.prompt_tokens, entry.usage.completion_tokens) == (2, 60)


async def test_the_callers_function_is_called_below_a_text_that_was_gone_on_with(
    opened: Opened,
) -> None:
    two = await opened.two(60, pause_before=25)
    two.second.engine.calls_then = "tell"
    events = await killed_in_mid_text(two, OFFERED)
    assert text(events) == whole(60)
    completed = events[-1].event
    assert isinstance(completed, Completed)
    message, call = completed.response.output
    assert isinstance(message, Message)
    assert isinstance(call, Call)
    assert (message.text, call.name, call.arguments) == (whole(60), "tell", '{"n": 7}')
    assert call.run_by is RunBy.CALLER
    (entry,) = two.around.ledger.entries
    assert entry.usage.completion_tokens == 61


async def test_a_tool_of_the_mesh_runs_once_below_a_text_that_was_gone_on_with(
    opened: Opened,
) -> None:
    two = await opened.two(60, pause_before=25)
    two.second.engine.calls_then = "double"
    events = await killed_in_mid_text(two, OWN)
    completed = events[-1].event
    assert isinstance(completed, Completed)
    _, call, last = completed.response.output
    assert isinstance(call, Call)
    assert call.outcome is not None
    assert isinstance(last, Message)
    assert (call.outcome.text, last.text) == ("14", whole(60))
    assert len(two.around.tools.ran) == 1


async def test_who_dies_again_below_the_text_is_followed_by_a_third(opened: Opened) -> None:
    """The tokens that two gateways have heard are one text to the third."""
    two = await opened.two(60, pause_before=25)
    third = await opened.one("third", 60)
    third.engine.calls_then = "tell"
    events = await third.read(await die_one_after_the_other(two, third, OFFERED))
    assert text(events) == whole(60)
    completed = events[-1].event
    assert isinstance(completed, Completed)
    assert [type(item) for item in completed.response.output] == [Message, Call]
    (going_on,) = third.engine.generations
    assert 0 < going_on.begun_tokens <= 40
