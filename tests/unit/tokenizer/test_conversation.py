"""What chat templates are given."""

import pytest

from services.shared.chat import Message, Role, Tool, ToolCall
from services.shared.errors import Malformed
from services.tokenizer.conversation import template_messages, template_options, template_tools
from services.tokenizer.shield import MARK, Shield

OPEN = Shield([], [])
SHIELD = Shield(["<s>"], [])
DEEP = '{"a": ' + "[" * 900 + "]" * 900 + "}"


def entries(*messages: Message, as_parts: bool = False, developers: bool = True) -> list[object]:
    return [*template_messages(messages, OPEN, as_parts=as_parts, developers=developers)]


def called(arguments: str) -> object:
    message = Message(Role.ASSISTANT, tool_calls=(ToolCall("1", "f", arguments),))
    (entry,) = template_messages([message], OPEN, as_parts=False, developers=True)
    return entry["tool_calls"][0]["function"]["arguments"]


def test_a_message_is_its_role_and_text() -> None:
    assert entries(Message(Role.USER, "hi")) == [{"role": "user", "content": "hi"}]


def test_a_text_may_be_a_list_of_one_part() -> None:
    (entry,) = entries(Message(Role.USER, ""), as_parts=True)
    assert entry == {"role": "user", "content": [{"type": "text", "text": ""}]}


def test_a_tools_text_is_never_a_list() -> None:
    (entry,) = entries(Message(Role.TOOL, "42", tool_call_id="1"), as_parts=True)
    assert entry == {"role": "tool", "content": "42", "tool_call_id": "1"}


def test_reasoning_has_both_its_names() -> None:
    (entry,) = entries(Message(Role.ASSISTANT, "yes", reasoning="hm"))
    assert entry == {
        "role": "assistant",
        "content": "yes",
        "reasoning": "hm",
        "reasoning_content": "hm",
    }


def test_an_assistant_that_only_calls_has_no_parts() -> None:
    message = Message(Role.ASSISTANT, tool_calls=(ToolCall("1", "f", '{"a": 1}'),))
    (entry,) = entries(message, as_parts=True)
    assert entry == {
        "role": "assistant",
        "content": [],
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
        ],
    }


@pytest.mark.parametrize(
    "arguments", ["", "{", "[1]", "null", '"text"', "9" * 5000, '{"a": 1}}', "[" * 10**5, DEEP]
)
def test_arguments_that_are_no_object_are_an_empty_one(arguments: str) -> None:
    assert called(arguments) == {}


def test_arguments_are_objects() -> None:
    assert called('{"ключ": [1, {"b": null}]}') == {"ключ": [1, {"b": None}]}


def test_developers_speak_for_themselves_where_the_template_knows_them() -> None:
    (entry,) = entries(Message(Role.DEVELOPER, "be brief"))
    assert entry == {"role": "developer", "content": "be brief", "tools": None}


def test_developers_else_join_the_system_in_front() -> None:
    spoken = [
        Message(Role.USER, "hi"),
        Message(Role.DEVELOPER, "be brief"),
        Message(Role.SYSTEM, ""),
        Message(Role.SYSTEM, "be kind"),
    ]
    joined = {"role": "system", "content": "be brief\n\nbe kind"}
    assert entries(*spoken, developers=False) == [joined, {"role": "user", "content": "hi"}]
    assert entries(*spoken, developers=False, as_parts=True)[0] == joined


def test_a_developer_who_speaks_first_and_alone_is_the_system() -> None:
    spoken = [Message(Role.DEVELOPER, "be brief"), Message(Role.USER, "hi")]
    assert entries(*spoken, developers=False)[0] == {"role": "system", "content": "be brief"}


def test_several_systems_stay_apart_without_a_developer() -> None:
    spoken = [Message(Role.USER, "hi"), Message(Role.SYSTEM, "a"), Message(Role.SYSTEM, "b")]
    assert len(entries(*spoken, developers=False)) == 3


def test_all_that_a_caller_wrote_is_shielded() -> None:
    call = ToolCall("<s>", "<s>", '{"<s>": "\\u003cs\\u003e"}')
    message = Message(Role.ASSISTANT, "<s>", "<s>", (call,))
    result = Message(Role.TOOL, "<s>", tool_call_id="<s>")
    tool = Tool("<s>", "<s>", '{"<s>": ["<s>"]}')
    options = template_options({"a": '{"<s>": "<s>"}'}, SHIELD)
    told = template_messages([message, result], SHIELD, as_parts=False, developers=True)
    shown = repr((told, template_tools([tool], SHIELD), options))
    assert "<s>" not in shown
    assert shown.count(f"<{MARK}s>") == 15


def test_a_tool_is_told_as_openai_tells_it() -> None:
    assert template_tools([Tool("f", "does f", '{"type": "object"}', strict=True)], OPEN) == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "does f",
                "parameters": {"type": "object"},
                "strict": True,
            },
        }
    ]


def test_what_a_tool_leaves_open_is_none() -> None:
    (tool,) = template_tools([Tool("f", "", "")], OPEN) or []
    assert tool["function"] == {"name": "f", "description": None, "parameters": None}


def test_no_tools_are_none() -> None:
    assert template_tools([], OPEN) is None


@pytest.mark.parametrize("parameters", ["{", "[]", "1", "[" * 10**5, DEEP])
def test_broken_parameters_are_refused(parameters: str) -> None:
    with pytest.raises(Malformed) as caught:
        template_tools([Tool("f", "", parameters)], OPEN)
    assert caught.value.details == {"param": "tools"}


def test_broken_options_are_refused() -> None:
    with pytest.raises(Malformed) as caught:
        template_options({"enable_thinking": "maybe"}, OPEN)
    assert caught.value.details == {"param": "template_options"}
