"""What chat templates are given."""

from typing import Any

import pytest

from services.shared.conversation import Role
from services.shared.errors import Malformed
from services.shared.tools import Tool, ToolCall
from services.tokenizer.api import TemplateMessage, TemplateRefused
from services.tokenizer.shield import MARK, Shield
from services.tokenizer.template_input import (
    TemplateAbilities,
    template_messages,
    template_options,
    template_tools,
)

OPEN = Shield([], [])
SHIELD = Shield(["<s>"], [])
PLAIN = TemplateAbilities(parts=False, pictures=False, developers=True)
SEEING = TemplateAbilities(parts=True, pictures=True, developers=True)
DEEP = '{"a": ' + "[" * 900 + "]" * 900 + "}"
# More than moderation looks through.
HIDDEN = '{"a": ' + "[" * 150 + '"b"' + "]" * 150 + "}"


def entries(
    *messages: TemplateMessage, as_parts: bool = False, developers: bool = True
) -> list[object]:
    abilities = TemplateAbilities(parts=as_parts, pictures=False, developers=developers)
    return [*template_messages(messages, OPEN, abilities)]


def content(message: TemplateMessage, shield: Shield = OPEN) -> Any:
    """What a template that sees is given of the message."""
    return template_messages([message], shield, SEEING)[0]["content"]


def called(arguments: str) -> object:
    message = TemplateMessage(Role.ASSISTANT, tool_calls=(ToolCall("1", "f", arguments),))
    (entry,) = template_messages([message], OPEN, PLAIN)
    return entry["tool_calls"][0]["function"]["arguments"]


def test_a_message_is_its_role_and_text() -> None:
    assert entries(TemplateMessage(Role.USER, "hi")) == [{"role": "user", "content": "hi"}]


def test_a_text_may_be_a_list_of_one_part() -> None:
    (entry,) = entries(TemplateMessage(Role.USER, ""), as_parts=True)
    assert entry == {"role": "user", "content": [{"type": "text", "text": ""}]}


def test_a_tools_text_is_never_a_list() -> None:
    (entry,) = entries(TemplateMessage(Role.TOOL, "42", tool_call_id="1"), as_parts=True)
    assert entry == {"role": "tool", "content": "42", "tool_call_id": "1"}


def test_reasoning_has_both_its_names() -> None:
    (entry,) = entries(TemplateMessage(Role.ASSISTANT, "yes", reasoning="hm"))
    assert entry == {
        "role": "assistant",
        "content": "yes",
        "reasoning": "hm",
        "reasoning_content": "hm",
    }


@pytest.mark.parametrize(
    ("text", "pictures", "parts"),
    [
        ("", (0,), ["+"]),
        ("cat", (0,), ["+", "cat"]),
        ("cat", (3,), ["cat", "+"]),
        ("a cat", (2,), ["a ", "+", "cat"]),
        ("a cat", (2, 2), ["a ", "+", "+", "cat"]),
        ("a cat", (0, 2, 5, 5), ["+", "a ", "+", "cat", "+", "+"]),
        ("🎉é", (1,), ["🎉", "+", "é"]),
    ],
)
def test_a_picture_is_a_part_of_its_own_where_it_stood(
    text: str, pictures: tuple[int, ...], parts: list[str]
) -> None:
    told = [{"type": "image"} if p == "+" else {"type": "text", "text": p} for p in parts]
    assert content(TemplateMessage(Role.USER, text, pictures=pictures)) == told


def test_a_tools_pictures_are_parts_too() -> None:
    message = TemplateMessage(Role.TOOL, "seen", tool_call_id="1", pictures=(4,))
    assert content(message) == [{"type": "text", "text": "seen"}, {"type": "image"}]


@pytest.mark.parametrize("pictures", [(4,), (-1,), (2, 1), (0, 9)])
@pytest.mark.parametrize("abilities", [PLAIN, SEEING])
def test_a_picture_outside_the_text_is_malformed(
    pictures: tuple[int, ...], abilities: TemplateAbilities
) -> None:
    with pytest.raises(Malformed) as caught:
        template_messages([TemplateMessage(Role.USER, "cat", pictures=pictures)], OPEN, abilities)
    assert caught.value.details == {"param": "pictures"}


@pytest.mark.parametrize("parts", [False, True])
def test_a_template_that_takes_no_pictures_refuses_them(parts: bool) -> None:
    abilities = TemplateAbilities(parts=parts, pictures=False, developers=True)
    with pytest.raises(TemplateRefused, match="takes no pictures"):
        template_messages([TemplateMessage(Role.USER, "cat", pictures=(0,))], OPEN, abilities)


def test_a_picture_is_not_lost_where_systems_are_joined() -> None:
    abilities = TemplateAbilities(parts=True, pictures=True, developers=False)
    spoken = [
        TemplateMessage(Role.SYSTEM, "like this: ", pictures=(11,)),
        TemplateMessage(Role.DEVELOPER, "be brief"),
    ]
    with pytest.raises(TemplateRefused, match="no pictures from systems"):
        template_messages(spoken, OPEN, abilities)


@pytest.mark.parametrize("place", [1, 2])
def test_a_token_that_a_picture_cuts_in_two_stays_cut(place: int) -> None:
    """Templates may join the texts, and leave the picture somewhere else."""
    first, _, then = content(TemplateMessage(Role.USER, "<s>", pictures=(place,)), SHIELD)
    assert "<s>" not in first["text"] + then["text"]


def test_a_text_beside_a_picture_is_shielded() -> None:
    parts = content(TemplateMessage(Role.USER, "a<s>b<s>", pictures=(4, 8)), SHIELD)
    assert repr(parts).count(f"<{MARK}s>") == 2


def test_an_assistant_that_only_calls_has_no_parts() -> None:
    message = TemplateMessage(Role.ASSISTANT, tool_calls=(ToolCall("1", "f", '{"a": 1}'),))
    (entry,) = entries(message, as_parts=True)
    assert entry == {
        "role": "assistant",
        "content": [],
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
        ],
    }


@pytest.mark.parametrize(
    "arguments",
    ["", "{", "[1]", "null", '"text"', "9" * 5000, '{"a": 1}}', "[" * 10**5, DEEP, HIDDEN],
)
def test_arguments_that_are_no_object_are_an_empty_one(arguments: str) -> None:
    assert called(arguments) == {}


def test_arguments_are_objects() -> None:
    assert called('{"ключ": [1, {"b": null}]}') == {"ключ": [1, {"b": None}]}


def test_half_a_character_in_arguments_becomes_a_sign() -> None:
    assert called(r'{"\udfff": "a\ud800"}') == {"\ufffd": "a\ufffd"}


def test_developers_speak_for_themselves_where_the_template_knows_them() -> None:
    (entry,) = entries(TemplateMessage(Role.DEVELOPER, "be brief"))
    assert entry == {"role": "developer", "content": "be brief", "tools": None}


def test_developers_else_join_the_system_in_front() -> None:
    spoken = [
        TemplateMessage(Role.USER, "hi"),
        TemplateMessage(Role.DEVELOPER, "be brief"),
        TemplateMessage(Role.SYSTEM, ""),
        TemplateMessage(Role.SYSTEM, "be kind"),
    ]
    joined = {"role": "system", "content": "be brief\n\nbe kind"}
    assert entries(*spoken, developers=False) == [joined, {"role": "user", "content": "hi"}]
    assert entries(*spoken, developers=False, as_parts=True)[0] == joined


def test_a_developer_who_speaks_first_and_alone_is_the_system() -> None:
    spoken = [TemplateMessage(Role.DEVELOPER, "be brief"), TemplateMessage(Role.USER, "hi")]
    assert entries(*spoken, developers=False)[0] == {"role": "system", "content": "be brief"}


def test_several_systems_stay_apart_without_a_developer() -> None:
    spoken = [
        TemplateMessage(Role.USER, "hi"),
        TemplateMessage(Role.SYSTEM, "a"),
        TemplateMessage(Role.SYSTEM, "b"),
    ]
    assert len(entries(*spoken, developers=False)) == 3


def test_all_that_a_caller_wrote_is_shielded() -> None:
    call = ToolCall("<s>", "<s>", '{"<s>": "\\u003cs\\u003e"}')
    message = TemplateMessage(Role.ASSISTANT, "<s>", "<s>", (call,))
    result = TemplateMessage(Role.TOOL, "<s>", tool_call_id="<s>")
    tool = Tool("<s>", "<s>", '{"<s>": ["<s>"]}')
    options = template_options({"a": '{"<s>": "<s>"}'}, SHIELD)
    told = template_messages([message, result], SHIELD, PLAIN)
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
