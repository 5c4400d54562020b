"""The checks of Open Responses' suite, written anew from its specification of 2026-04-24.

The scripted engine answers: whether a model calls a function of its own accord is not what is
checked here. Each turn runs on SSE and on a WebSocket.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import openresponses_types
import pytest

from .conftest import Scripted, call
from .response_events import (
    Event,
    check_openai,
    check_order,
    check_specified,
    message,
    over_socket,
    over_sse,
    post,
    socket_to,
)

WEATHER: Event = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    },
}
OWN: Event = {"type": "mcp", "server_label": "chatmesh"}
# A PNG of one red dot.
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJg"
    "gg=="
)
Turn = Callable[..., list[Event]]


@pytest.fixture(params=["SSE", "WebSocket"])
def turn(request: pytest.FixtureRequest, scripted: Scripted) -> Turn:
    """Runs one turn on a carrier; what it sent keeps the order that the specification tells."""

    def run(**body: Any) -> list[Event]:
        if request.param == "SSE":
            events = over_sse(scripted, body)
        else:
            with socket_to(scripted) as socket:
                events = over_socket(socket, scripted, **body)
        check_order(events)
        return events

    return run


def answer(events: list[Event]) -> Event:
    """The response that completed; the specification knows all of its keys, and of `created`."""
    check_specified(events)
    assert events[-1]["type"] == "response.completed"
    for event in (events[0], events[-1]):
        assert event["response"].keys() >= openresponses_types.ResponseResource.model_fields.keys()
    whole: Event = events[-1]["response"]
    assert whole["status"] == "completed"
    assert whole["output"]
    return whole


def text(response: Event) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


@pytest.mark.parametrize("given", ["Say hello.", [message("user", "Say hello.")]])
def test_basic_response(scripted: Scripted, given: Any) -> None:
    scripted.when("Say hello.", "Hello!")
    got = post(scripted, "/responses", {"model": scripted.model, "input": given})
    assert got.status_code == 200
    openresponses_types.ResponseResource.model_validate(got.json())
    assert got.json().keys() >= openresponses_types.ResponseResource.model_fields.keys()
    assert text(got.json()) == "Hello!"


def test_streaming_response(scripted: Scripted, turn: Turn) -> None:
    scripted.when("Count to three.", "One, two, three.")
    events = turn(input="Count to three.")
    assert text(answer(events)) == "One, two, three."
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
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


def test_assistant_phase(scripted: Scripted, turn: Turn) -> None:
    given = [
        message("user", "Look it up."),
        message("assistant", "I look.", phase="commentary"),
        message("assistant", "It is 4.", phase="final_answer"),
        message("user", "And twice that?"),
    ]
    scripted.when("And twice that?", "8")
    assert text(answer(turn(input=given))) == "8"


def test_system_prompt(scripted: Scripted, turn: Turn) -> None:
    scripted.when("Who are you?", "A pirate.")
    given = [message("system", "You are a pirate."), message("user", "Who are you?")]
    scripted.prompts()
    assert text(answer(turn(input=given))) == "A pirate."
    (prompt,) = scripted.prompts()
    assert "You are a pirate." in prompt


def test_multi_turn(scripted: Scripted, turn: Turn) -> None:
    scripted.when("What is my name?", "Alice.")
    given = [
        message("user", "My name is Alice."),
        message("assistant", "Hello Alice!"),
        message("user", "What is my name?"),
    ]
    assert text(answer(turn(input=given))) == "Alice."


def test_image_input(scripted: Scripted, turn: Turn) -> None:
    """A model that reads text only is told that there was a picture."""
    scripted.when("What is this?", "I cannot see it.")
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{DOT}"}
    asked = {"type": "input_text", "text": "What is this?"}
    answer(turn(input=[message("user", [picture, asked])]))


def test_file_input(scripted: Scripted, turn: Turn) -> None:
    data = base64.b64encode(b"%PDF-1.4 nothing to read").decode()
    file = {
        "type": "input_file",
        "filename": "a.pdf",
        "file_data": f"data:application/pdf;base64,{data}",
    }
    scripted.when("Sum it up.", "I cannot read it.")
    answer(turn(input=[message("user", [file, {"type": "input_text", "text": "Sum it up."}])]))


def test_tool_calling_streaming(scripted: Scripted, turn: Turn) -> None:
    scripted.when("weather in Oslo?", call("get_weather", {"location": "Oslo"}))
    events = turn(input="What is the weather in Oslo?", tools=[WEATHER])
    (called,) = answer(events)["output"]
    assert (called["type"], called["name"]) == ("function_call", "get_weather")
    assert json.loads(called["arguments"]) == {"location": "Oslo"}
    deltas = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert "".join(deltas) == called["arguments"]
    kinds = list(dict.fromkeys(event["type"] for event in events[2:-1]))
    assert kinds == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]


def test_function_call_roundtrip(scripted: Scripted, turn: Turn) -> None:
    scripted.when("weather in Rome?", call("get_weather", {"location": "Rome"}))
    scripted.when('{"sky": "clear"}', "It is clear in Rome.")
    asked = message("user", "What is the weather in Rome?")
    (called,) = answer(turn(input=[asked], tools=[WEATHER]))["output"]
    result = {
        "type": "function_call_output",
        "call_id": called["call_id"],
        "output": '{"sky": "clear"}',
    }
    told = answer(turn(input=[asked, called, result], tools=[WEATHER]))
    assert text(told) == "It is clear in Rome."


def test_previous_response_id(scripted: Scripted, turn: Turn) -> None:
    scripted.when("I like teal.", "Noted.")
    scripted.when("What do I like?", "Teal.")
    first = answer(turn(input="I like teal."))
    scripted.prompts()
    second = answer(turn(input="What do I like?", previous_response_id=first["id"]))
    assert second["previous_response_id"] == first["id"]
    (prompt,) = scripted.prompts()
    assert prompt.index("I like teal.") < prompt.index("Noted.") < prompt.index("What do I like?")


def test_own_tools_are_told_in_openai_words(scripted: Scripted, turn: Turn) -> None:
    """Calls that the mesh runs are no part of the specification; OpenAI's SDK knows them."""
    scripted.when("12 times 12?", call("calculator", {"expression": "12*12"}))
    scripted.when("144", "It is 144.")
    events = turn(input="What is 12 times 12?", tools=[OWN])
    check_openai(events)
    called, said = events[-1]["response"]["output"]
    assert (called["type"], called["output"]) == ("mcp_call", "144")
    assert said["type"] == "message"


def test_an_incomplete_response_says_so_in_its_items(scripted: Scripted, turn: Turn) -> None:
    scripted.when("Tell a long story.", "Once upon a time there was a cat.")
    events = turn(input="Tell a long story.", max_output_tokens=3)
    check_specified(events)
    response = events[-1]["response"]
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][-1]["status"] == "incomplete"


def test_compact_response(scripted: Scripted) -> None:
    scripted.when("Remember: 7.", "Yes.")
    body = {
        "model": scripted.model,
        "prompt_cache_key": "a",
        "input": [message("user", "Remember: 7."), message("assistant", "Yes.")],
    }
    got = post(scripted, "/responses/compact", body)
    assert got.status_code == 200, got.text
    openresponses_types.CompactResource.model_validate(got.json())
    assert got.json()["object"] == "response.compaction"
    assert "compaction" in {item["type"] for item in got.json()["output"]}


def test_compact_missing_model(scripted: Scripted) -> None:
    got = post(scripted, "/responses/compact", {"input": "x"})
    assert got.status_code == 400
    assert got.json()["error"]["param"] == "model"


def test_websocket_compact_new_chain(scripted: Scripted) -> None:
    scripted.when("And now?", "Now this.")
    body = {"model": scripted.model, "input": [message("user", "Remember: 7.")]}
    compacted = post(scripted, "/responses/compact", body).json()["output"]
    with socket_to(scripted) as socket:
        given = [*compacted, message("user", "And now?")]
        events = over_socket(socket, scripted, input=given, tools=[], store=False)
    assert text(answer(events)) == "Now this."


def test_websocket_sequential_and_continuation(scripted: Scripted) -> None:
    scripted.when("One.", "First.")
    scripted.when("Two.", "Second.")
    with socket_to(scripted) as socket:
        first = answer(over_socket(socket, scripted, input="One.", store=False))
        scripted.prompts()
        events = over_socket(
            socket, scripted, input="Two.", store=False, previous_response_id=first["id"]
        )
        assert text(answer(events)) == "Second."
        (prompt,) = scripted.prompts()
        assert "First." in prompt
        assert text(answer(over_socket(socket, scripted, input="One.", store=False))) == "First."


def refused(events: list[Event]) -> str:
    """The code of the error that a turn on a socket ended with."""
    told = events[-1]
    assert told["type"] == "error"
    openresponses_types.WebSocketErrorEvent.model_validate(told)
    code: str = told["error"]["code"]
    return code


def test_websocket_previous_response_not_found(scripted: Scripted) -> None:
    with socket_to(scripted) as socket:
        events = over_socket(socket, scripted, input="x", previous_response_id="resp_none")
        assert refused(events) == "previous_response_not_found"


def test_websocket_reconnect_store_false_recovery(scripted: Scripted) -> None:
    scripted.when("One.", "First.")
    with socket_to(scripted) as socket:
        first = answer(over_socket(socket, scripted, input="One.", store=False))
    with socket_to(scripted) as socket:
        again = over_socket(
            socket, scripted, input="x", store=False, previous_response_id=first["id"]
        )
        assert refused(again) == "previous_response_not_found"
        assert text(answer(over_socket(socket, scripted, input="One."))) == "First."


def test_websocket_failed_continuation_evicts_cache(scripted: Scripted) -> None:
    scripted.when("One.", "First.")
    unknown = {"type": "function_call_output", "call_id": "call_none", "output": "x"}
    with socket_to(scripted) as socket:
        first = answer(over_socket(socket, scripted, input="One.", store=False))
        more = {"store": False, "previous_response_id": first["id"]}
        failed = over_socket(socket, scripted, input=[unknown], **more)
        assert failed[-1]["type"] in {"error", "response.failed"}
        again = over_socket(socket, scripted, input="Go on.", **more)
        assert refused(again) == "previous_response_not_found"
