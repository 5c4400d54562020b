"""What the body of a chat completion asks of the turn."""

import json
from typing import Any

from services.gateway.http.chat.request import ChatCompletionRequest
from services.inference.api import FormatKind
from services.shared.conversation import (
    Call,
    CallResult,
    Message,
    Picture,
    Reasoning,
    Refusal,
    Role,
    Text,
)
from services.shared.tools import ToolChoice, ToolMode

USER = {"role": "user", "content": "hi"}


def request(*messages: dict[str, Any], **fields: Any) -> ChatCompletionRequest:
    body = {"model": "demo", "messages": list(messages or (USER,)), **fields}
    return ChatCompletionRequest.model_validate(body)


def test_every_role_becomes_its_items() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "city", "arguments": "{}"}}
    items = (
        request(
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "assistant", "reasoning_content": "hm", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "Oslo"},
            {"role": "assistant", "content": "Oslo."},
        )
        .ask()
        .input
    )
    system, developer, thought, called, result, answer = items
    assert isinstance(system, Message)
    assert isinstance(developer, Message)
    assert (system.role, developer.role) == (Role.SYSTEM, Role.DEVELOPER)
    assert developer.parts == (Text("Be brief."),)
    assert isinstance(thought, Reasoning)
    assert isinstance(called, Call)
    assert (thought.text, called.call_id, called.name) == ("hm", "c1", "city")
    assert isinstance(result, CallResult)
    assert result.parts == (Text("Oslo"),)
    assert isinstance(answer, Message)
    assert answer.role is Role.ASSISTANT


def test_parts_stay_apart_and_in_order() -> None:
    (message,) = (
        request(
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "this"},
                    {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                    {"type": "text", "text": "and that"},
                ],
            }
        )
        .ask()
        .input
    )
    assert isinstance(message, Message)
    assert message.parts == (
        Text("this"),
        Picture(url="https://a.example/b.png"),
        Text("and that"),
    )


def test_a_tools_result_may_have_parts() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    call = {"id": "c1", "function": {"name": "look"}}
    _, result = (
        request(
            {"role": "assistant", "content": [], "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [picture]},
        )
        .ask()
        .input
    )
    assert isinstance(result, CallResult)
    assert result.parts == (Picture(url="https://a.example/b.png"),)


def test_an_assistant_may_have_refused_or_said_nothing() -> None:
    refused, silent = (
        request(
            {"role": "assistant", "content": None, "refusal": "I cannot."},
            {"role": "assistant", "content": None},
        )
        .ask()
        .input
    )
    assert isinstance(refused, Message)
    assert isinstance(silent, Message)
    assert (refused.parts, silent.parts) == ((Refusal("I cannot."),), ())


def test_a_field_of_the_turn_is_named_as_the_caller_wrote_it() -> None:
    call = {"id": "c1", "function": {"name": "city"}}
    body = request(
        USER,
        {"role": "assistant", "content": "wait", "tool_calls": [call, call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Oslo"},
    )
    names = ["messages[0]", *["messages[1]"] * 3, "messages[2]"]
    assert [body.field(f"input[{number}]") for number in range(5)] == names
    assert (body.field("input"), body.field("tools")) == ("messages", "tools")


def test_a_named_function_and_a_format_are_read() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    choice = {"type": "function", "function": {"name": "city"}}
    ask = request(tool_choice=choice, response_format=schema).ask()
    assert ask.choice == ToolChoice(ToolMode.NAMED, "city")
    assert ask.format
    assert (ask.format.kind, json.loads(ask.format.text)) == (
        FormatKind.JSON_SCHEMA,
        {"type": "object"},
    )
    plain = request(response_format={"type": "json_object"}).ask().format
    assert plain
    assert plain.kind is FormatKind.JSON_OBJECT
    assert request(response_format={"type": "text"}).ask().format is None


def test_the_effort_is_a_variable_of_the_template_unless_the_caller_sets_that() -> None:
    assert request(reasoning_effort="low").ask().template_options == {"reasoning_effort": '"low"'}
    both = request(reasoning_effort="low", chat_template_kwargs={"reasoning_effort": "high"})
    assert both.ask().template_options == {"reasoning_effort": '"high"'}


def test_what_the_presenter_needs_is_kept_with_the_turn() -> None:
    wanted = request(stream_options={"include_usage": True}).ask().echo
    assert json.loads(wanted) == {"include_usage": True}
    assert json.loads(request().ask().echo) == {"include_usage": False}
