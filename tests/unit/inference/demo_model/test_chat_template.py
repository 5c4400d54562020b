"""The prompt format, and that no caller's schema or message breaks it."""

from typing import Any

import pytest

from services.inference.demo_model.rendering import ChatTemplate

HELLO = {"role": "user", "content": "hello"}


def rendered(
    template: ChatTemplate, *messages: dict[str, Any], tools: Any = None, prompt: bool = False
) -> str:
    return template.render(messages, tools, add_generation_prompt=prompt)


def tool(parameters: Any, **others: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters} | others}


def called(arguments: Any, content: Any = None) -> dict[str, Any]:
    function = {"name": "weather", "arguments": arguments}
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }


def test_a_bare_user_turn_has_no_system_turn(template: ChatTemplate) -> None:
    assert rendered(template, HELLO, prompt=True) == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_system_text_stands_before_the_tools(template: ChatTemplate) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    system = {"role": "system", "content": "Be brief."}
    text = rendered(template, system, HELLO, tools=[tool(schema, description="Does it.")])
    assert text.startswith(
        "<|im_start|>system\nBe brief.\n\n# Tools\n## f: Does it.\n- x: integer<|im_end|>\n"
    )


def test_tools_need_no_system_text(template: ChatTemplate) -> None:
    text = rendered(template, HELLO, tools=[tool({})])
    assert text.startswith("<|im_start|>system\n# Tools\n## f<|im_end|>\n")


def test_parameters_say_type_need_choices_and_purpose(template: ChatTemplate) -> None:
    properties = {
        "unit": {"type": "string", "enum": ["c", "f"], "description": "Of the scale"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "when": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "size": {"type": ["integer", "null"]},
        "where": {"type": "object", "properties": {"city": {"type": "string"}}},
        "free": {},
    }
    text = rendered(template, HELLO, tools=[tool({"properties": properties, "required": ["tags"]})])
    assert '\n- unit?: string, one of "c", "f". Of the scale\n' in text
    assert "\n- tags: array of string\n" in text
    assert "\n- when?: string\n" in text
    assert "\n- size?: integer\n" in text
    assert '\n- where?: {"city": {"type": "string"}}\n' in text
    assert "\n- free?: any<|im_end|>" in text


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        [],
        "x",
        {"properties": None},
        {"properties": []},
        {"properties": {"a": None, "b": True, "c": 3, "d": "x", "e": []}},
        {"properties": {"a": {"type": 7}, "b": {"type": []}, "c": {"type": {"x": 1}}}},
        {"properties": {"a": {"enum": 3}, "b": {"enum": {}}, "c": {"enum": [None, 1, {"x": []}]}}},
        {"properties": {"a": {"anyOf": 5}, "b": {"oneOf": [3, None, {}]}, "c": {"$ref": "#/x"}}},
        {"properties": {"a": {"type": "array", "items": True}, "b": {"type": "array"}}},
        {"properties": {"items": {"type": "array", "items": {"type": "array", "items": {}}}}},
        {"properties": {"a": {"description": 4}}, "required": None},
        {"properties": {"a": {}}, "required": "a"},
        {"properties": {"a": {}}, "required": 4},
        {"properties": {"a": {}}, "required": [{}, None, ["a"]]},
        {"properties": {"": {}, "a b\n": {}, "ключ": {}}},
    ],
)
def test_no_schema_breaks_it(template: ChatTemplate, parameters: Any) -> None:
    text = rendered(template, HELLO, tools=[tool(parameters)])
    assert text.startswith("<|im_start|>system\n# Tools\n## f")
    assert text.endswith("<|im_start|>user\nhello<|im_end|>\n")


@pytest.mark.parametrize("tools", [None, [], {}, "x", 3])
def test_no_tools_means_no_system_turn(template: ChatTemplate, tools: Any) -> None:
    assert rendered(template, HELLO, tools=tools) == "<|im_start|>user\nhello<|im_end|>\n"


@pytest.mark.parametrize("odd", [None, "x", 3, {}, {"function": None}, {"function": {"name": 3}}])
def test_an_odd_tool_breaks_nothing(template: ChatTemplate, odd: Any) -> None:
    assert rendered(template, HELLO, tools=[odd]).endswith("hello<|im_end|>\n")


def test_a_tool_without_its_function_wrapper_is_understood(template: ChatTemplate) -> None:
    flat = {
        "type": "function",
        "name": "g",
        "parameters": {"properties": {"x": {"type": "string"}}},
    }
    assert "## g\n- x?: string" in rendered(template, HELLO, tools=[flat])


def test_a_call_is_written_as_hermes_does(template: ChatTemplate) -> None:
    assert rendered(template, called({"location": "Paris"})) == (
        "<|im_start|>assistant\n<tool_call>\n"
        '{"name": "weather", "arguments": {"location": "Paris"}}\n</tool_call><|im_end|>\n'
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1,"b":[true,null]}', {"a": 1, "b": [True, None]}),
        ('{ "a" : "x, y: z" ,\n"b":{}}', {"a": "x, y: z", "b": {}}),
        (r'{"a":"say \"hi\", then: go","b":"back\\"}', {"a": 'say "hi", then: go', "b": "back\\"}),
        ('{"ä":"日本, 語"}', {"ä": "日本, 語"}),
        ("{}", {}),
        ("", {}),
        ("  ", {}),
    ],
)
def test_arguments_look_the_same_as_text_and_as_an_object(
    template: ChatTemplate, text: str, value: dict[str, Any]
) -> None:
    assert rendered(template, called(text)) == rendered(template, called(value))


@pytest.mark.parametrize("arguments", [None, 3, [], "not json", '{"a": "unfinished'])
def test_no_arguments_break_it(template: ChatTemplate, arguments: Any) -> None:
    assert rendered(template, called(arguments)).endswith("}\n</tool_call><|im_end|>\n")


def test_text_and_several_calls_stand_below_one_another(template: ChatTemplate) -> None:
    message = called({"location": "Oslo"}, "Let me look.")
    message["tool_calls"] = message["tool_calls"] * 2
    call = '<tool_call>\n{"name": "weather", "arguments": {"location": "Oslo"}}\n</tool_call>'
    assert rendered(template, message) == (
        f"<|im_start|>assistant\nLet me look.\n{call}\n{call}<|im_end|>\n"
    )


def test_a_result_has_a_turn_of_its_own(template: ChatTemplate) -> None:
    assert rendered(template, {"role": "tool", "content": "42", "tool_call_id": "1"}) == (
        "<|im_start|>tool\n<tool_response>\n42\n</tool_response><|im_end|>\n"
    )


def test_a_developer_is_the_system(template: ChatTemplate) -> None:
    developer = {"role": "developer", "content": "Be brief."}
    assert "<|im_start|>system\nBe brief.<|im_end|>" in rendered(template, developer, HELLO)
    assert "<|im_start|>system\nBe brief.<|im_end|>" in rendered(template, HELLO, developer)


def test_a_system_turn_in_the_middle_stays_there(template: ChatTemplate) -> None:
    system = {"role": "system", "content": "Now be brief."}
    assert rendered(template, HELLO, system, HELLO) == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>system\nNow be brief.<|im_end|>\n"
        "<|im_start|>user\nhello<|im_end|>\n"
    )


@pytest.mark.parametrize("content", ["", None, [], [{"type": "image_url", "image_url": {}}], 3])
def test_a_message_may_have_no_text(template: ChatTemplate, content: Any) -> None:
    message = {"role": "user", "content": content}
    assert rendered(template, message) == "<|im_start|>user\n<|im_end|>\n"


def test_parts_of_text_become_lines(template: ChatTemplate) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]
    text = rendered(template, {"role": "user", "content": parts})
    assert text == "<|im_start|>user\none\ntwo<|im_end|>\n"


def test_a_conversation_may_be_empty(template: ChatTemplate) -> None:
    assert rendered(template, prompt=True) == "<|im_start|>assistant\n"
