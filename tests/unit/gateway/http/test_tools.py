"""Tools, and the choice among them, mean the same in all protocols."""

from collections.abc import Callable
from typing import Any

import pytest

from services.gateway.api import Ask, OwnTools
from services.gateway.http.chat.request import ChatCompletionRequest
from services.gateway.http.responses.request import ResponseRequest
from services.shared.tools import ToolChoice, ToolMode

FUNCTIONS = ("city", "tide")


def chat(**fields: Any) -> Ask:
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], **fields}
    return ChatCompletionRequest.model_validate(body).ask()


def respond(**fields: Any) -> Ask:
    return ResponseRequest.model_validate({"model": "demo", "input": "hi", **fields}).ask()


def own(allowed: Any = None) -> dict[str, Any]:
    server = {"type": "mcp", "server_label": "chatmesh", "require_approval": "never"}
    return server if allowed is None else {**server, "allowed_tools": allowed}


Read = Callable[..., Ask]


def asked(protocol: Read, *servers: dict[str, Any], choice: Any = None) -> Ask:
    """The functions, some servers, and a choice in the words of Responses."""
    if protocol is respond:
        functions: list[Any] = [function(name) for name in FUNCTIONS]
        return respond(tools=[*functions, *servers], tool_choice=choice)
    functions = [{"type": "function", "function": {"name": name}} for name in FUNCTIONS]
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        choice = {"type": "allowed_tools", "allowed_tools": deeper(choice)}
    return chat(tools=[*functions, *servers], tool_choice=choice)


def deeper(choice: dict[str, Any]) -> dict[str, Any]:
    tools = [
        {"type": "function", "function": {"name": tool["name"]}}
        if tool["type"] == "function"
        else tool
        for tool in choice["tools"]
    ]
    return {"mode": choice["mode"], "tools": tools}


def offered(ask: Ask) -> list[str]:
    return [function.name for function in ask.functions]


both = pytest.mark.parametrize("protocol", [chat, respond])


@both
@pytest.mark.parametrize(
    ("servers", "wanted"),
    [
        ([], None),
        ([own()], OwnTools()),
        ([own([])], OwnTools(frozenset())),
        ([own(["clock"])], OwnTools(frozenset({"clock"}))),
        ([own({"tool_names": ["clock"]})], OwnTools(frozenset({"clock"}))),
        ([own({})], OwnTools()),
        ([own(["clock"]), own(["weather"])], OwnTools(frozenset({"clock", "weather"}))),
        ([own(["clock"]), own()], OwnTools()),
    ],
)
def test_own_tools_are_those_that_are_asked_for(
    protocol: Read, servers: list[dict[str, Any]], wanted: OwnTools | None
) -> None:
    assert asked(protocol, *servers).own_tools == wanted


@both
def test_tools_of_other_kinds_are_not_offered(protocol: Read) -> None:
    other = {"type": "image_generation", "name": "run"}
    assert offered(asked(protocol, other, {"type": "web_search"})) == list(FUNCTIONS)


@both
def test_a_choice_among_functions_offers_no_others(protocol: Read) -> None:
    choice = {"type": "allowed_tools", "mode": "required", "tools": [function("tide")]}
    ask = asked(protocol, own(), choice=choice)
    assert offered(ask) == ["tide"]
    assert ask.choice == ToolChoice(ToolMode.REQUIRED)
    assert ask.own_tools == OwnTools(frozenset())


@both
def test_a_choice_among_own_tools_offers_no_others(protocol: Read) -> None:
    server = {"type": "mcp", "server_label": "chatmesh"}
    some = {"type": "allowed_tools", "mode": "auto", "tools": [{**server, "name": "clock"}]}
    every = {"type": "allowed_tools", "mode": "auto", "tools": [server]}
    clock = OwnTools(frozenset({"clock"}))
    assert asked(protocol, own(), choice=some).own_tools == clock
    assert asked(protocol, own(["weather"]), choice=some).own_tools == OwnTools(frozenset())
    assert asked(protocol, own(["clock"]), choice=every).own_tools == clock
    assert asked(protocol, choice=every).own_tools is None
    assert offered(asked(protocol, own(), choice=every)) == []


@both
def test_an_own_tool_may_be_chosen(protocol: Read) -> None:
    server = {"type": "mcp", "server_label": "chatmesh"}
    named = asked(protocol, own(), choice={**server, "name": "clock"})
    assert named.choice == ToolChoice(ToolMode.NAMED, "clock")
    any_of_them = asked(protocol, own(), choice=server)
    assert (any_of_them.choice, offered(any_of_them)) == (ToolChoice(ToolMode.REQUIRED), [])


@both
@pytest.mark.parametrize("kind", ["web_search_preview", "file_search", "shell"])
def test_the_choice_of_a_tool_that_is_not_here_chooses_nothing(protocol: Read, kind: str) -> None:
    ask = asked(protocol, choice={"type": kind, "name": "run"})
    assert (ask.choice, offered(ask)) == (ToolChoice(), list(FUNCTIONS))


@pytest.mark.parametrize("ask", [chat, respond])
def test_user_counts_where_there_is_no_safety_identifier(ask: Read) -> None:
    assert ask(user="u1").safety_identifier == "u1"
    assert ask(user="u1", safety_identifier="s1").safety_identifier == "s1"
    assert ask(user="").safety_identifier == ""


def test_a_custom_call_of_an_assistant_is_a_call() -> None:
    call = {"id": "c1", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    messages = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
    ]
    called, result = chat(messages=messages).input
    assert (called.name, called.arguments, result.call_id) == ("run", '{"input": "ls"}', "c1")  # type: ignore[union-attr]


def function(name: str) -> dict[str, str]:
    return {"type": "function", "name": name}
