"""Items as OpenAI's types allow them, though few clients write them so."""

from typing import Any, get_args, get_type_hints

import pytest
from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter, ValidationError

from services.gateway.http.responses.items import Input, ReadInput, read_input
from services.shared.conversation import Call, CallResult, Message, Picture, Reasoning, Role

_INPUT: TypeAdapter[Any] = TypeAdapter(Input)
SAID: dict[str, Any] = {"role": "user", "content": "hello"}
PIXEL = "iVBORw=="
# What changes the answer and is not here yet is refused, and not left out without a word.
NOT_YET = {"additional_tools", "configuration_update"}


def read(*items: dict[str, Any]) -> ReadInput:
    return read_input(_INPUT.validate_python([*items, SAID]))


def kinds() -> set[str]:
    """Of all that OpenAI's SDK knows as input."""
    hints = [get_type_hints(each)["type"] for each in get_args(ResponseInputItemParam)]
    words = [word for hint in hints for word in (hint, *get_args(hint))]
    return {name for word in words for name in get_args(word) if isinstance(name, str)}


def test_every_kind_of_openais_is_known() -> None:
    assert {"message", "program", "item_reference"} <= kinds()
    for kind in kinds():
        try:
            read({"type": kind})
        except ValidationError as error:
            unknown = error.errors()[0]["type"] == "wrong_kind"
            assert unknown is (kind in NOT_YET), kind


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "item_reference"}])
def test_an_item_is_named_with_or_without_its_type(kind: dict[str, Any]) -> None:
    given = read({"id": "msg_1", **kind})
    assert (given.items[0].id, given.references) == ("msg_1", (0,))


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "message"}])
def test_whoever_speaks_names_nothing(kind: dict[str, Any]) -> None:
    given = read({"id": "msg_1", "role": "developer", "content": "x", **kind})
    assert given.references == ()
    first = given.items[0]
    assert isinstance(first, Message)
    assert first.role is Role.DEVELOPER


def test_nothing_may_be_null_in_reasoning() -> None:
    given = read({"type": "reasoning", "id": "rs_1", "summary": None, "content": None})
    assert given.items[0] == Reasoning("rs_1")


@pytest.mark.parametrize("id_of", ["id", "call_id"])
def test_what_a_local_shell_brought_has_the_calls_id_alone(id_of: str) -> None:
    call = {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "action": {}}
    result = {"type": "local_shell_call_output", "id": call[id_of], "output": "done"}
    asked, brought, _ = read(call, result).items
    assert isinstance(asked, Call)
    assert isinstance(brought, CallResult)
    assert (asked.call_id, brought.call_id, brought.text) == ("call_1", "call_1", "done")


def test_a_program_and_what_it_brought_are_read() -> None:
    named = {"id": "prog_1", "call_id": "call_1"}
    asked, brought, _ = read(
        {"type": "program", "code": "1 + 1", "fingerprint": "CANARY", **named},
        {"type": "program_output", "result": "2", "status": "completed", **named},
    ).items
    assert isinstance(asked, Call)
    assert isinstance(brought, CallResult)
    assert (asked.name, asked.arguments) == ("program", '{"code": "1 + 1"}')
    assert (brought.call_id, brought.text) == ("call_1", "2")


def test_tools_that_were_found_are_read() -> None:
    found = [{"type": "function", "name": "f"}]
    call = {"type": "tool_search_call", "call_id": "call_1", "arguments": {"query": "x"}}
    result = {"type": "tool_search_output", "call_id": "call_1", "tools": found}
    _, brought, _ = read(call, result).items
    assert isinstance(brought, CallResult)
    assert '"name": "f"' in brought.text
    # OpenAI's own search tells no ids.
    without: dict[str, Any] = {
        "type": "tool_search_output",
        "call_id": None,
        "execution": "server",
        "tools": [],
    }
    assert len(read({**call, "call_id": None}, without).items) == 2


def test_a_result_of_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        read({"type": "shell_call_output", "output": []})


@pytest.mark.parametrize(
    "url",
    [f"DATA:image/png;base64,{PIXEL}", f"data:IMAGE/PNG;BASE64,{PIXEL}", "HTTPS://x/y.png"],
)
def test_schemes_and_types_are_the_same_in_capitals(url: str) -> None:
    part = {"type": "input_image", "image_url": url}
    first = read({"role": "user", "content": [part]}).items[0]
    assert isinstance(first, Message)
    (picture,) = first.parts
    assert isinstance(picture, Picture)
    assert (picture.media_type, bool(picture.url)) in {("image/png", False), ("", True)}
