"""The Responses API's objects: what was given is shown again in the same words."""

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.responses import Response as SdkResponse

from services.gateway.api import Failed, InputBlocked, Status, TooManyTurns, TurnStopped
from services.gateway.http.responses.request import ResponseRequest
from services.gateway.http.responses.resources import begun, item_resource, resource
from services.inference.api import EngineDead
from services.shared.conversation import Call, CallOutcome, Item, Reasoning, RunBy, Text
from services.shared.errors import MeshError
from tests.unit.gateway.http.played import ended, started
from tests.unit.gateway.http.responses.test_events import KEYS
from tests.unit.gateway.http.responses.test_request import ITEMS, OWN_CALL
from tests.unit.gateway.http.test_parts import BASE64, URL


def read(words: dict[str, Any]) -> Item:
    body = {"model": "demo", "input": [words]}
    (item,) = ResponseRequest.model_validate(body).ask().input
    return item


def said(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "id": "m", "role": "user", "content": list(parts), **fields}


PARTS = [
    {"type": "input_text", "text": "see"},
    {"type": "input_image", "image_url": URL, "detail": "low", "file_id": None},
    {
        "type": "input_image",
        "image_url": "https://a.example/b.png",
        "detail": "auto",
        "file_id": None,
    },
    {"type": "input_image", "image_url": None, "detail": "auto", "file_id": "file-1"},
    {"type": "input_file", "filename": "a.pdf", "file_id": None, "file_data": BASE64},
    {
        "type": "input_file",
        "filename": None,
        "file_id": None,
        "file_data": f"data:application/pdf;base64,{BASE64}",
    },
    {
        "type": "input_file",
        "filename": None,
        "file_id": None,
        "file_url": "https://a.example/b.pdf",
    },
    {"type": "input_file", "filename": "a.pdf", "file_id": "file-1", "file_url": None},
    {"type": "input_audio", "input_audio": {"data": BASE64, "format": "mp3"}},
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part)[:60])
def test_a_part_is_shown_as_it_was_given(part: dict[str, Any]) -> None:
    assert item_resource(read(said(part)))["content"] == [part]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: str(part)[:60])
def test_a_results_part_is_shown_as_it_was_given(part: dict[str, Any]) -> None:
    given = {"type": "function_call_output", "call_id": "c", "output": [part, part]}
    assert item_resource(read(given))["output"] == [part, part]


def test_a_result_of_one_text_is_shown_bare() -> None:
    given = {"type": "function_call_output", "call_id": "c", "output": "Oslo"}
    assert item_resource(read(given))["output"] == "Oslo"


@pytest.mark.parametrize("words", [words for words, _ in ITEMS], ids=lambda words: str(words)[:40])
def test_what_is_shown_can_be_given_back(words: dict[str, Any]) -> None:
    item = read(words)
    assert read(item_resource(item)) == item


def test_an_assistants_message_keeps_its_phase_and_its_refusal() -> None:
    refusal = {"type": "refusal", "refusal": "no"}
    shown = item_resource(read(said(refusal, role="assistant", phase="final_answer")))
    assert (shown["phase"], shown["content"]) == ("final_answer", [refusal])
    assert "phase" not in item_resource(read(said({"type": "input_text", "text": "a"})))


def test_a_call_shows_who_ran_it_and_what_came_of_it() -> None:
    shown = item_resource(read(OWN_CALL))
    assert (shown["server_label"], shown["output"], shown["error"]) == ("chatmesh", "2", None)
    failed = item_resource(read({**OWN_CALL, "output": None, "error": "no"}))
    assert (failed["status"], failed["output"], failed["error"]) == ("failed", None, "no")
    other = Call("m", "c", "n", "{}", RunBy.SERVER, "weather", outcome=CallOutcome((Text("x"),)))
    assert item_resource(other)["server_label"] == "weather"
    waiting = item_resource(replace(other, outcome=None), "in_progress")
    assert (waiting["status"], waiting["output"]) == ("in_progress", None)


def test_what_the_model_thought_is_its_summary_where_there_is_no_other() -> None:
    assert item_resource(Reasoning("r", "2+2")) == {
        "id": "r",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "2+2"}],
        "status": "completed",
    }


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Status.LENGTH, "max_output_tokens"),
        (Status.TOO_MANY_EVENTS, "max_output_tokens"),
        (Status.INVALID_CALL, "invalid_tool_call"),
        (Status.CONTENT_FILTER, "content_filter"),
        (Status.TOOL_ROUNDS, "max_tool_calls"),
        (Status.STEERED, "steered"),
    ],
)
def test_an_incomplete_response_says_why(status: Status, reason: str) -> None:
    shown = resource(ended(status).response)
    assert (shown["status"], shown["incomplete_details"]) == ("incomplete", {"reason": reason})


@pytest.mark.parametrize("status", Status)
def test_the_last_item_of_a_response_that_was_cut_is_incomplete(status: Status) -> None:
    *whole, last = resource(ended(status).response)["output"]
    cut = status in {
        Status.LENGTH,
        Status.CONTENT_FILTER,
        Status.TOO_MANY_EVENTS,
        Status.INVALID_CALL,
    }
    assert last["status"] == ("incomplete" if cut else "completed")
    assert {item["status"] for item in whole} == {"completed"}


def test_every_status_is_shown() -> None:
    for status in Status:
        complete = resource(ended(status).response)["status"] == "completed"
        assert complete == (status is Status.COMPLETED)


def test_a_response_repeats_what_the_request_said_and_the_usual_of_the_rest() -> None:
    body = {
        "model": "demo",
        "input": "hi",
        "store": False,
        "parallel_tool_calls": False,
        "text": {"verbosity": "low"},
        "reasoning": {"effort": "low"},
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [{"type": "function", "name": "f"}],
    }
    shown = begun(started(ResponseRequest.model_validate(body).ask().echo))
    assert set(shown) >= KEYS
    assert (shown["store"], shown["parallel_tool_calls"]) == (False, False)
    assert shown["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert shown["reasoning"] == {"effort": "low", "summary": None}
    assert shown["tool_choice"] == {"type": "function", "name": "f"}
    assert set(shown["tools"][0]) >= {"type", "name", "description", "parameters", "strict"}
    assert (shown["temperature"], shown["metadata"], shown["truncation"]) == (1.0, {}, "disabled")


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.FAILED, Status.CANCELLED])
def test_what_has_not_come_to_its_end_has_no_usage(status: Status) -> None:
    response = replace(ended(status).response, background=True, unfinished=frozenset({"fc_1"}))
    shown = resource(response)
    assert (shown["status"], shown["background"]) == (status.value, True)
    assert (shown["usage"], shown["completed_at"], shown["incomplete_details"]) == (None,) * 3
    assert [item["status"] for item in shown["output"]] == [*["completed"] * 3, "incomplete"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineDead("died"), "server_error"),
        (TurnStopped("shutting down"), "server_error"),
        (TooManyTurns("wait", retry_after="1"), "rate_limit_exceeded"),
        (InputBlocked("no", category="violence"), "invalid_prompt"),
    ],
)
def test_a_response_that_failed_has_one_of_openais_codes(error: MeshError, code: str) -> None:
    failed = Failed.with_error(error)
    shown = resource(replace(ended(Status.FAILED).response, error=failed))
    assert shown["error"] == {"code": code, "message": error.message}
    assert SdkResponse.model_validate(shown)


def test_what_openais_clients_look_for_is_always_there() -> None:
    for shown in (begun(started()), resource(ended().response)):
        assert shown["conversation"] is None
        assert shown["prompt"] is None
        assert shown["tool_usage"]["web_search"] == {"num_requests": 0}
        assert shown["service_tier"] == "default"
        assert SdkResponse.model_validate(shown)


def test_a_response_without_an_echo_has_every_key() -> None:
    assert set(begun(started())) >= KEYS
    assert set(resource(ended().response)) >= KEYS
    assert json.dumps(begun(started()))
