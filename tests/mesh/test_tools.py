"""The mesh's own tools, inside a turn."""

import asyncio

import pytest

from tests.fakes.scripted_mesh import call
from tests.fakes.tool_runner import SEARCH, http_answer
from tests.mesh.conftest import OWN, Running


async def test_an_own_tool_runs_inside_the_turn(running: Running) -> None:
    running.play.when("what is 17 times 23?", call("calculator", '{"expression": "17*23"}'))
    running.play.when("391", "It is 391.")
    answer = await running.sdk().chat.completions.create(
        model=running.model,
        messages=[{"role": "user", "content": "what is 17 times 23?"}],
        tools=[OWN],
    )
    (choice,) = answer.choices
    assert choice.message.content == "It is 391."
    assert choice.finish_reason == "stop"
    assert not choice.message.tool_calls
    assert "<tool_response>\n391\n</tool_response>" in running.play.prompts[-1]


async def test_responses_show_it_as_a_call_of_the_server_chatmesh(running: Running) -> None:
    running.play.when("add 1 and 2", call("calculator", '{"expression": "1+2"}'))
    running.play.when("3", "Three.")
    answer = await running.sdk().responses.create(
        model=running.model, input="add 1 and 2", tools=[OWN]
    )
    called, said = answer.output
    assert called.type == "mcp_call"
    assert (called.server_label, called.name, called.output) == ("chatmesh", "calculator", "3")
    assert said.type == "message"
    assert answer.output_text == "Three."


async def test_the_weather_is_asked_of_its_service(running: Running) -> None:
    running.play.when("weather in Paris", call("weather", '{"location": "Paris"}'))
    running.play.when("wind 14 km/h", "It rains.")
    answer = await running.sdk().responses.create(
        model=running.model, input="weather in Paris", tools=[OWN]
    )
    assert answer.output_text == "It rains."
    (called, _) = answer.output
    assert called.type == "mcp_call"
    assert "12.3 °C" in (called.output or "")


async def test_a_tool_that_fails_is_told_to_the_model_and_the_turn_goes_on(
    running: Running,
) -> None:
    running.weather.answers[SEARCH] = http_answer("{}", "503 Service Unavailable")
    running.play.when("weather in Oslo", call("weather", '{"location": "Oslo"}'))
    running.play.when("cannot answer now", "I do not know.")
    try:
        answer = await running.sdk().responses.create(
            model=running.model, input="weather in Oslo", tools=[OWN]
        )
    finally:
        running.weather.answers.clear()
    (called, _) = answer.output
    assert called.type == "mcp_call"
    assert called.error
    assert answer.output_text == "I do not know."


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_during_a_call_cancels_the_tool(running: Running, stream: bool) -> None:
    running.weather.hold()
    running.play.when("weather in Singapore", call("weather", '{"location": "Singapore"}'))
    asked = "weather in Singapore"
    body = {"model": running.model, "input": asked, "tools": [OWN], "stream": stream}
    try:
        async with running.http() as http:
            asking = asyncio.create_task(http.post("/v1/responses", json=body))
            await asyncio.wait_for(running.weather.reached.wait(), 30)
            assert not running.weather.left.is_set()
            asking.cancel()
            await asyncio.wait([asking])
        await asyncio.wait_for(running.weather.left.wait(), 30)
    finally:
        running.weather.go_on()


@pytest.mark.parametrize(
    "written", [call("launch_rocket", "{}"), call("calculator", '{"formula": "1"}')]
)
async def test_what_is_no_call_of_a_tool_on_offer_is_neither_run_nor_shown(
    running: Running, written: str
) -> None:
    """A name that nobody offered; arguments that the tool does not have."""
    running.play.when("launch it", written)
    answer = await running.sdk().responses.create(
        model=running.model, input="launch it", tools=[OWN]
    )
    assert answer.output == []
    assert answer.status == "incomplete"
    assert answer.incomplete_details
    assert answer.incomplete_details.model_dump()["reason"] == "invalid_tool_call"
