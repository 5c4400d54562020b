"""What the body of a response asks of the turn."""

import json
from typing import Any

import pytest

from services.gateway.http.responses.request import ResponseRequest
from services.inference.api import FormatKind
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    Item,
    Message,
    Phase,
    Picture,
    Reasoning,
    Role,
    RunBy,
    Text,
)
from services.shared.tools import ToolChoice, ToolMode


def request(*items: dict[str, Any], **fields: Any) -> ResponseRequest:
    body = {"model": "demo", "input": list(items) or "hi", **fields}
    return ResponseRequest.model_validate(body)


def item(words: dict[str, Any]) -> Item:
    (read,) = request(words).ask().input
    return read


OWN_CALL = {
    "type": "mcp_call",
    "id": "mcp_1",
    "server_label": "chatmesh",
    "name": "double",
    "arguments": '{"n": 1}',
    "output": "2",
}
ITEMS: list[tuple[dict[str, Any], Item]] = [
    (
        {
            "role": "user",
            "id": "m",
            "content": [{"type": "input_image", "file_id": "f", "detail": "low"}],
        },
        Message("m", Role.USER, (Picture(file_id="f", detail="low"),)),
    ),
    (
        {"role": "assistant", "id": "m", "content": "hm", "phase": "commentary"},
        Message("m", Role.ASSISTANT, (Text("hm"),), Phase.COMMENTARY),
    ),
    (
        {"role": "assistant", "id": "m", "content": [], "phase": None},
        Message("m", Role.ASSISTANT, ()),
    ),
    # Only what an assistant says has a phase.
    (
        {"role": "user", "id": "m", "content": "hm", "phase": "final_answer"},
        Message("m", Role.USER, (Text("hm"),)),
    ),
    (
        {"type": "function_call", "id": "f", "call_id": "c", "name": "n", "arguments": "{}"},
        Call("f", "c", "n", "{}"),
    ),
    (
        {
            "type": "function_call_output",
            "id": "o",
            "call_id": "c",
            "output": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "auto"},
            ],
        },
        CallResult("o", "c", (Text("look"), Picture(url="https://a.example/b.png", detail="auto"))),
    ),
    (
        OWN_CALL,
        Call(
            "mcp_1",
            "mcp_1",
            "double",
            '{"n": 1}',
            run_by=RunBy.MESH,
            server_label="chatmesh",
            outcome=CallOutcome((Text("2"),)),
        ),
    ),
    (
        {**OWN_CALL, "output": None, "error": "no such number"},
        Call(
            "mcp_1",
            "mcp_1",
            "double",
            '{"n": 1}',
            run_by=RunBy.MESH,
            server_label="chatmesh",
            outcome=CallOutcome((Text("no such number"),), failed=True),
        ),
    ),
    # What the mesh shows as the summary is all that the model thought: it reads it again.
    (
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "2+2"}]},
        Reasoning("r", "2+2", ("2+2",)),
    ),
    (
        {
            "type": "reasoning",
            "id": "r",
            "summary": [{"type": "summary_text", "text": "short"}],
            "content": [
                {"type": "reasoning_text", "text": "long"},
                {"type": "reasoning_text", "text": "longer"},
            ],
            "encrypted_content": "xyz",
        },
        Reasoning("r", "long\nlonger", ("short",), "xyz"),
    ),
    (
        {**OWN_CALL, "server_label": "elsewhere"},
        Call(
            "mcp_1",
            "mcp_1",
            "double",
            '{"n": 1}',
            run_by=RunBy.SERVER,
            server_label="elsewhere",
            outcome=CallOutcome((Text("2"),)),
        ),
    ),
    (
        {"type": "custom_tool_call", "id": "f", "call_id": "c", "name": "exec", "input": "ls"},
        Call("f", "c", "exec", '{"input": "ls"}', text_input=True),
    ),
    (
        {"type": "custom_tool_call_output", "id": "o", "call_id": "c", "output": "a.txt"},
        CallResult("o", "c", (Text("a.txt"),), text_input=True),
    ),
    (
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "q"}},
        Call(
            "w",
            "w",
            "web_search",
            '{"action": {"query": "q"}}',
            RunBy.SERVER,
            outcome=CallOutcome((Text("done"),)),
        ),
    ),
    (
        {"type": "file_search_call", "id": "w", "queries": ["q"], "results": [{"text": "t"}]},
        Call(
            "w",
            "w",
            "file_search",
            '{"queries": ["q"]}',
            RunBy.SERVER,
            outcome=CallOutcome((Text('{"results": [{"text": "t"}]}'),)),
        ),
    ),
    (
        {"type": "image_generation_call", "id": "w", "status": "completed", "result": "iVBOR"},
        Call(
            "w", "w", "image_generation", "{}", RunBy.SERVER, outcome=CallOutcome((Text("done"),))
        ),
    ),
    (
        {"type": "local_shell_call", "id": "w", "call_id": "c", "action": {"command": ["ls"]}},
        Call("w", "c", "local_shell", '{"action": {"command": ["ls"]}}'),
    ),
    (
        {
            "type": "computer_call_output",
            "id": "o",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBOR"},
        },
        CallResult("o", "c", (Text('{"type": "computer_screenshot"}'),)),
    ),
    (
        {"type": "compaction", "id": "k", "encrypted_content": "xyz"},
        Compaction("k", opaque="xyz"),
    ),
]


@pytest.mark.parametrize(("words", "expected"), ITEMS, ids=lambda value: str(value)[:40])
def test_an_item_is_read(words: dict[str, Any], expected: Item) -> None:
    assert item(words) == expected


def test_a_field_of_the_turn_is_named_as_the_caller_wrote_it() -> None:
    assert request().field("input[0]") == "input"
    assert request({"role": "user", "content": "a"}).field("input[0]") == "input[0]"
    assert request().field("max_tokens") == "max_output_tokens"


def test_a_named_function_and_a_format_are_read() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    ask = request(tool_choice={"type": "function", "name": "city"}, text={"format": schema}).ask()
    assert ask.choice == ToolChoice(ToolMode.NAMED, "city")
    assert ask.format
    assert (ask.format.kind, json.loads(ask.format.text)) == (
        FormatKind.JSON_SCHEMA,
        {"type": "object"},
    )
    assert request(text={"format": {"type": "text"}}).ask().format is None


def test_the_effort_is_a_variable_of_the_template() -> None:
    assert request(reasoning={"effort": "low"}).ask().template_options == {
        "reasoning_effort": '"low"'
    }
    assert request(reasoning={"summary": "auto"}).ask().template_options == {}


def test_what_only_clients_read_is_left_out_and_places_stay_the_callers() -> None:
    unread = {"type": "mcp_list_tools", "id": "l", "server_label": "s", "tools": []}
    body = request(unread, {"role": "user", "content": "a"}, {"type": "item_reference", "id": "m"})
    ask = body.ask()
    assert [item.id for item in ask.input][1:] == ["m"]
    assert ask.references == (1,)
    assert body.field("input[1]") == "input[2]"
