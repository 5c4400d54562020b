"""Words that wait on a socket for what a caller's function returns."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.guard import OutputModeration
from tests.fakes.mesh import calls, says
from tests.unit.gateway.http.conftest import OpenSite, Site
from tests.unit.gateway.http.conversations.test_routes import created
from tests.unit.gateway.http.responses.talking import Caller, Event, calling, text

OFF = OutputModeration.OFF
CITY = {"type": "function", "name": "city", "parameters": {"type": "object"}}
CUSTOM = {"type": "custom", "name": "city"}
SPACE = {"type": "namespace", "name": "maps", "description": "", "tools": [CITY]}


def called(name: str = "city") -> Any:
    return replace(calls((name, '{"input": "x"}')), pause_before=2)


async def pending(caller: Caller, script: Any, **fields: Any) -> tuple[Event, Event]:
    """A response that waits for its function's result, and the event that says so of the words."""
    await caller.create("a", **fields)
    created = (await caller.until("response.created"))[0]["response"]
    await asyncio.wait_for(script.paused.wait(), 5)
    await caller.steer(created["id"], "in French")
    await caller.until("response.steer.accepted")
    script.go_on.set()
    response = (await caller.until())[-1]["response"]
    return response, await caller.next()


def returned(response: Event) -> list[Event]:
    call_id = response["output"][0]["call_id"]
    return [{"type": "function_call_output", "call_id": call_id, "output": "Oslo"}]


def said_to_model(here: Site) -> list[str]:
    items: Any = here.mesh.context.assemblies[-1].input
    return [getattr(item, "text", "") for item in items]


@pytest.mark.parametrize("store", [True, False])
async def test_in_a_conversation_the_words_come_before_its_next_turn(
    site: OpenSite, store: bool
) -> None:
    script = called()
    async with site(script, says("Oslo"), says("x"), mode=OFF) as here, calling(here) as caller:
        chat = await created(here)
        fields: Any = {"conversation": chat, "store": store}
        response, told = await pending(caller, script, tools=[CITY], **fields)
        assert told["type"] == "response.steer.pending"
        assert text(await caller.answer(returned(response), **fields)) == "Oslo"
        assert said_to_model(here) == ["in French", "Oslo"]
        await caller.answer("b", **fields)
        assert said_to_model(here) == ["b"]


async def test_words_go_to_one_of_two_lanes_that_begin_at_once(site: OpenSite) -> None:
    scripts = [called(), *(replace(says("Oslo", "."), pause_before=1) for _ in range(2))]
    async with site(*scripts, mode=OFF) as here, calling(here) as caller:
        response, _ = await pending(caller, scripts[0], tools=[CITY])
        for lane in ("a", "b"):
            goes_on: Any = {"previous_response_id": response["id"], "stream_id": lane}
            await caller.create(returned(response), **goes_on)
        for script in scripts[1:]:
            await asyncio.wait_for(script.paused.wait(), 5)
        heard: Any = [assembly.input for assembly in here.mesh.context.assemblies[-2:]]
        assert sorted(len(items) for items in heard) == [1, 2]
        for script in scripts[1:]:
            script.go_on.set()
            await caller.until()


async def test_words_wait_on_when_a_response_is_refused_late(site: OpenSite) -> None:
    """It is refused by a field that only the turn itself looks at."""
    script = called()
    async with site(script, says("Oslo"), mode=OFF) as here, calling(here) as caller:
        response, _ = await pending(caller, script, tools=[CITY])
        goes_on: Any = {"previous_response_id": response["id"]}
        refused = await caller.answer(returned(response), **goes_on, tool_choice="required")
        assert refused["error"]["param"] == "tool_choice"
        assert text(await caller.answer(returned(response), **goes_on)) == "Oslo"
        assert said_to_model(here) == ["in French", "Oslo"]


@pytest.mark.parametrize(
    ("tools", "name", "wanted"),
    [
        ([CITY], "city", {"type": "function_call_output", "name": "city"}),
        ([CUSTOM], "city", {"type": "custom_tool_call_output"}),
        ([CITY, SPACE], "maps__city", {"type": "function_call_output", "name": "city"}),
    ],
)
async def test_what_is_wanted_is_said_as_it_is_to_be_sent(
    site: OpenSite, tools: Any, name: str, wanted: Event
) -> None:
    script = called(name)
    async with site(script, mode=OFF) as here, calling(here) as caller:
        response, told = await pending(caller, script, tools=tools)
        call_id = response["output"][0]["call_id"]
        assert told["required_input"] == [{**wanted, "call_id": call_id}]


async def test_what_a_conversation_keeps_is_continued_with_all_before_it(site: OpenSite) -> None:
    """Also where the response itself was not to be stored."""
    async with site(says("one"), says("two")) as here, calling(here) as caller:
        first = await caller.answer("a", conversation=await created(here, "zero"), store=False)
        await caller.answer("b", previous_response_id=first["id"], store=False)
        assert here.mesh.context.assemblies[-1].parent_id == first["id"]
        assert said_to_model(here) == ["b"]
