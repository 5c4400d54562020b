"""Functions that take one text: OpenAI's custom tools."""

import json
from typing import Any

import pytest

from services.inference.api import FormatKind, OutputFormat
from services.shared.conversation import Call
from services.shared.tools import TEXT_PARAMETERS, TextInput, TextSyntax, ToolMode
from tests.fakes.mesh import calls, says
from tests.unit.gateway.http.conftest import OpenSite
from tests.unit.gateway.http.responses.test_events import EVENTS, kinds, streamed
from tests.unit.gateway.http.responses.test_request import request

EXEC: dict[str, Any] = {"type": "custom", "name": "exec", "description": "Runs code."}
DIGITS = {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"}


async def test_a_call_of_a_custom_tool_streams_its_text(site: OpenSite) -> None:
    async with site(calls(("exec", 'print("hi")\n'))) as here:
        events = await streamed(here, tools=[EXEC])
    assert kinds(events)[2:6] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
    ]
    for event in events:
        EVENTS[event.type].model_validate(event.model_dump())
    added = next(event for event in events if event.type == "response.output_item.added")
    assert (added.item.type, added.item.input) == ("custom_tool_call", "")
    deltas = [event.delta for event in events if event.type.endswith("input.delta")]
    (call,) = events[-1].response.output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "exec", 'print("hi")\n')
    assert "".join(deltas) == call.input


async def test_its_call_and_result_go_back_and_are_listed_as_they_were(site: OpenSite) -> None:
    async with site(calls(("exec", "ls")), says("a.txt is there")) as here:
        body = {"model": "demo", "input": "look", "tools": [EXEC], "store": False}
        first = (await here.http.post("/v1/responses", json=body)).json()
        (call,) = first["output"]
        result = {
            "type": "custom_tool_call_output",
            "call_id": call["call_id"],
            "output": "a.txt",
        }
        again = {**body, "input": [call, result], "store": True}
        second = (await here.http.post("/v1/responses", json=again)).json()
        asked, answered = here.mesh.context.assemblies[-1].input
        assert asked.arguments == json.dumps({"input": "ls"})  # type: ignore[union-attr]
        listed = await here.http.get(f"/v1/responses/{second['id']}/input_items?order=asc")
    shown, brought = listed.json()["data"]
    assert {**shown, "status": "completed"} == call
    assert (brought["type"], brought["output"]) == ("custom_tool_call_output", "a.txt")
    assert answered.text == "a.txt"  # type: ignore[union-attr]


def test_a_custom_tool_is_offered_with_its_grammar() -> None:
    lark = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}
    for given, taken in (
        (None, TextInput()),
        ({"type": "text"}, TextInput()),
        (DIGITS, TextInput(TextSyntax.REGEX, "[0-9]+")),
        (lark, TextInput(TextSyntax.LARK, "start: /a/")),
    ):
        (tool,) = request(tools=[{**EXEC, "format": given}]).ask().functions
        assert (tool.name, tool.parameters, tool.text_input) == ("exec", TEXT_PARAMETERS, taken)


def test_a_custom_tool_is_chosen_by_name_or_among_others() -> None:
    named = request(tools=[EXEC], tool_choice={"type": "custom", "name": "exec"}).ask()
    assert (named.choice.mode, named.choice.name) == (ToolMode.NAMED, "exec")
    other = {"type": "function", "name": "f", "parameters": {}}
    among = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "exec"}]}
    ask = request(tools=[EXEC, other], tool_choice=among).ask()
    assert [tool.name for tool in ask.functions] == ["exec"]


def test_custom_tools_of_a_namespace_are_offered() -> None:
    space = {"type": "namespace", "name": "n", "tools": [EXEC]}
    (tool,) = request(tools=[space]).ask().functions
    assert (tool.name, tool.text_input) == ("exec", TextInput())


def test_calls_that_are_given_back_have_the_names_that_the_model_knows() -> None:
    """Two namespaces have a function of one name, and a tool of that name stands beside them."""
    city = {"type": "function", "name": "exec"}
    spaces = [
        {"type": "namespace", "name": name, "tools": [tool]}
        for name, tool in (("north", city), ("south", EXEC))
    ]
    call = {"type": "function_call", "call_id": "c", "name": "exec", "arguments": "{}"}
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "exec", "input": ""}
    given = [call, {**call, "namespace": "north"}, {**custom, "namespace": "south"}]
    read = request(tools=[*spaces, EXEC], input=[*given, {**call, "namespace": "west"}])
    names = [item.name for item in read.ask().input if isinstance(item, Call)]
    assert names == ["exec", "north__exec", "south__exec", "exec"]


@pytest.mark.parametrize(
    ("syntax", "kind"),
    [("regex", FormatKind.REGEX), ("lark", FormatKind.LARK), ("ebnf", FormatKind.EBNF)],
)
def test_a_reply_may_have_to_follow_a_grammar(syntax: str, kind: FormatKind) -> None:
    wanted = {"type": "grammar", "syntax": syntax, "definition": "x"}
    assert request(text={"format": wanted}).ask().format == OutputFormat(kind, "x")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "custom"}]}, "tools[0].name"),
        ({"tools": [{**EXEC, "name": "CANARY !"}]}, "tools[0].name"),
        ({"tools": [{**EXEC, "format": 5}]}, "tools[0].format"),
        ({"tools": [{**EXEC, "format": {"type": "CANARY"}}]}, "tools[0].format.type"),
        ({"tools": [{**EXEC, "format": {"type": "grammar"}}]}, "tools[0].format.syntax"),
        ({"tools": [{**EXEC, "format": {**DIGITS, "syntax": "CANARY"}}]}, "tools[0].format.syntax"),
        (
            {"tools": [{**EXEC, "format": {**DIGITS, "definition": "x" * 70_000}}]},
            "tools[0].format.definition",
        ),
        ({"tool_choice": {"type": "custom", "name": "exec"}}, "tool_choice"),
        ({"text": {"format": {"type": "grammar", "syntax": "lark"}}}, "text.format.definition"),
    ],
)
async def test_a_wrong_field_is_named(site: OpenSite, fields: dict[str, Any], param: str) -> None:
    async with site() as here:
        got = await here.http.post("/v1/responses", json={"model": "demo", "input": "a", **fields})
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)
    assert "CANARY" not in got.text
