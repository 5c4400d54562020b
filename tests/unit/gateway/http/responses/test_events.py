"""The Responses API through the official SDK."""

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from openai.types.responses import Response, ResponseStreamEvent

from services.gateway.api import ChoiceEnded, Completed, Finish, ItemDone, Status, TurnEvent
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.events import ResponsesPresenter
from services.shared.conversation import Call, Item, Role, said
from tests.fakes.mesh import calls, says
from tests.unit.gateway.http.conftest import OpenSite, Site
from tests.unit.gateway.http.played import ended, started, turn

CITY: dict[str, Any] = {
    "type": "function",
    "name": "city",
    "parameters": {"type": "object", "properties": {}},
}
OWN: Any = {"type": "mcp", "server_label": "chatmesh"}
# Every kind of event by its `type`.
EVENTS = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(ResponseStreamEvent)[0])
}
# What the Open Responses suite wants to find in every response.
KEYS = set(
    "id object created_at completed_at status incomplete_details model previous_response_id"
    " instructions output error tools tool_choice truncation parallel_tool_calls text top_p"
    " presence_penalty frequency_penalty top_logprobs temperature reasoning usage"
    " max_output_tokens max_tool_calls store background service_tier metadata safety_identifier"
    " prompt_cache_key".split()
)


async def streamed(site: Site, **body: object) -> list[Any]:
    async with site.sdk() as client:
        wanted: dict[str, Any] = {"model": "demo", "input": "hello", **body}
        stream = await client.responses.create(stream=True, **wanted)
        return [event async for event in stream]


def kinds(events: list[Any]) -> list[str]:
    """Their types, without repetitions."""
    types = [event.type for event in events]
    return [name for place, name in enumerate(types) if place == 0 or types[place - 1] != name]


async def test_a_stream_goes_through_every_stage_and_is_numbered(site: OpenSite) -> None:
    async with site(says("Hello ", "Ada.")) as here:
        events = await streamed(here)
    assert kinds(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_the_events_are_what_the_sdk_declares(site: OpenSite) -> None:
    scripts = (calls(("double", '{"n": 1}')), says("two", reasoning="hm"))
    async with site(*scripts) as here:
        body = {"model": "demo", "input": "hello", "stream": True, "tools": [OWN]}
        got = await here.http.post("/v1/responses", json=body)
    lines = [line for line in got.text.splitlines() if line.startswith("data: {")]
    assert len(lines) > 10
    for line in lines:
        event = json.loads(line.removeprefix("data: "))
        EVENTS[event["type"]].model_validate(event)


async def test_an_answer_at_once_has_every_key(site: OpenSite) -> None:
    async with site(says("Hello.")) as here:
        got = await here.http.post("/v1/responses", json={"model": "demo", "input": "hello"})
    assert set(got.json()) >= KEYS
    assert Response.model_validate(got.json()).output_text == "Hello."


async def test_snapshots_have_every_key_too(site: OpenSite) -> None:
    async with site(says("Hello.")) as here:
        created, progress, *_, completed = await streamed(here, instructions="Be kind.")
    for event in (created, progress, completed):
        snapshot = event.response.model_dump()
        assert set(snapshot) >= KEYS
        assert snapshot["instructions"] == "Be kind."


async def test_an_own_call_is_an_mcp_call_of_the_server_chatmesh(site: OpenSite) -> None:
    async with site(calls(("double", '{"n": 21}')), says("42")) as here:
        events = await streamed(here, tools=[OWN])
    assert kinds(events)[2:8] == [
        "response.output_item.added",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_item.done",
    ]
    call, _ = events[-1].response.output
    assert (call.type, call.server_label, call.name, call.output) == (
        "mcp_call",
        "chatmesh",
        "double",
        "42",
    )


async def test_a_callers_function_ends_the_response(site: OpenSite) -> None:
    async with site(calls(("city", '{"q": 1}'))) as here:
        events = await streamed(here, tools=[CITY])
    assert kinds(events)[2:6] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    (call,) = events[-1].response.output
    assert (call.type, call.arguments) == ("function_call", '{"q": 1}')


async def test_reasoning_is_told_as_a_summary(site: OpenSite) -> None:
    async with site(says("4", reasoning="2+2")) as here:
        events = await streamed(here)
    assert "response.reasoning_summary_text.delta" in kinds(events)
    assert events[-1].response.output[0].summary[0].text == "2+2"


async def test_what_was_answered_can_be_given_back_as_input(site: OpenSite) -> None:
    scripts = (calls(("double", '{"n": 1}')), says("2", reasoning="hm"), says("ok"))
    async with site(*scripts) as here, here.sdk() as client:
        first = await client.responses.create(model="demo", input="a", store=False, tools=[OWN])
        again = [item.model_dump(exclude_none=True) for item in first.output]
        await client.responses.create(
            model="demo",
            store=False,
            input=[*again, {"role": "user", "content": "and?"}],  # type: ignore[list-item]
        )
        given = here.mesh.context.assemblies[-1].input
    assert [type(item).__name__ for item in given] == ["Call", "Reasoning", "Message", "Message"]


def presented(*events: TurnEvent) -> list[JsonObject]:
    presenter = ResponsesPresenter()
    return [shown for event in events for shown in presenter.present(event)]


@pytest.mark.parametrize("item", [said("m", Role.ASSISTANT, "so far"), Call("f", "c", "n", '{"a')])
def test_an_item_that_was_cut_is_incomplete(item: Item) -> None:
    response = replace(ended(Status.LENGTH).response, output=(item,))
    ending = (ChoiceEnded(0, Finish.LENGTH), Completed(response))
    shown = presented(started(), ItemDone(0, item), *ending)
    (done,) = [event for event in shown if event["type"] == "response.output_item.done"]
    assert done["item"]["status"] == "incomplete"
    assert shown[-1]["response"]["output"] == [done["item"]]
    assert "response.function_call_arguments.done" not in {event["type"] for event in shown}
    assert [event["sequence_number"] for event in shown] == list(range(len(shown)))


def test_log_probabilities_stand_wherever_their_text_does() -> None:
    events = turn()
    shown = presented(*events)
    (text,) = [event for event in shown if event["type"] == "response.output_text.done"]
    assert [each["token"] for each in text["logprobs"]] == ["It"]
    (part,) = [event["part"] for event in shown if event["type"] == "response.content_part.done"]
    assert part["logprobs"] == text["logprobs"]
    for whole in (shown[-1]["response"], ResponsesPresenter.whole(events)):
        assert whole["output"][2]["content"][0]["logprobs"] == text["logprobs"]


async def test_an_incomplete_response_says_why(site: OpenSite) -> None:
    async with site(says("well then", " forbidden")) as here:
        events = await streamed(here)
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "content_filter"


async def test_the_callers_choice_among_own_tools(site: OpenSite) -> None:
    tool = {"type": "mcp", "server_label": "chatmesh", "allowed_tools": ["double"]}
    other = {"type": "web_search", "external_web_access": False}
    async with site(says("ok")) as here:
        await streamed(here, tools=[tool, other])
        assert [t.name for t in here.mesh.context.assemblies[0].tools] == ["double"]


async def test_no_tools_where_no_call_is_allowed(site: OpenSite) -> None:
    async with site(says("ok")) as here:
        events = await streamed(here, tools=[OWN], max_tool_calls=0)
        assert not here.mesh.context.assemblies[0].tools
    assert events[-1].type == "response.completed"


async def test_functions_of_namespaces_are_offered_and_their_calls_name_them(
    site: OpenSite,
) -> None:
    spaces = [{"type": "namespace", "name": name, "tools": [CITY]} for name in ("north", "south")]
    async with site(calls(("city", "{}"), ("south__city", "{}"))) as here:
        events = await streamed(here, tools=spaces, tool_choice="required")
        offered = [tool.name for tool in here.mesh.context.assemblies[0].tools]
    assert offered == ["city", "south__city"]
    done = [event.item for event in events if event.type == "response.output_item.done"]
    for items in (done, events[-1].response.output):
        assert [(item.namespace, item.name) for item in items] == [
            ("north", "city"),
            ("south", "city"),
        ]
    whole = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [event.name for event in whole] == ["city", "city"]


async def test_tools_that_are_not_here_are_repeated_whole(site: OpenSite) -> None:
    sent: list[dict[str, Any]] = [
        {"type": "custom", "name": "run", "description": "Run code"},
        {"type": "namespace", "name": "n", "description": "N", "tools": [CITY]},
        {**OWN, "allowed_tools": {"tool_names": ["double"]}},
    ]
    choice = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "city"}],
    }
    async with site(says("ok")) as here:
        body = {"model": "demo", "input": "a", "tools": sent, "tool_choice": choice, "user": "u1"}
        got = (await here.http.post("/v1/responses", json=body)).json()
    for echoed, given in zip(got["tools"], sent, strict=True):
        assert set(given) <= set(echoed)
        assert (echoed["type"], echoed.get("description")) == (
            given["type"],
            given.get("description"),
        )
    assert (got["tool_choice"], got["user"]) == (choice, "u1")
