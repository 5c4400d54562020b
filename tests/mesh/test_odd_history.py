"""Calls as no client means them, in what a caller gives back: a model may have written them."""

import json
from typing import Any

import pytest

from tests.fakes.inference import Script
from tests.mesh.conftest import Running

ODD = {
    "half a character": r'{"a": "\ud800"}',
    "half a character in a name": r'{"\udfff": 1}',
    "nested": '{"a": ' + "[" * 600 + "]" * 600 + "}",
    "no number": '{"a": NaN}',
    "too large": '{"a": 1e999}',
    "nothing": "",
}


def asked(running: Running, protocol: str, arguments: str) -> tuple[str, dict[str, Any]]:
    user = {"role": "user", "content": "and now?"}
    call = {"name": "f", "arguments": arguments}
    if protocol == "chat":
        calls = [{"id": "c", "type": "function", "function": call}]
        result = {"role": "tool", "tool_call_id": "c", "content": "r"}
        said = [{"role": "assistant", "tool_calls": calls}, result, user]
        return "/v1/chat/completions", {"model": running.model, "messages": said}
    items: list[dict[str, Any]] = [{"type": "function_call", "call_id": "c", **call}]
    items.append({"type": "function_call_output", "call_id": "c", "output": "r"})
    if protocol == "mcp":
        items = [{"type": "mcp_call", "id": "m", "server_label": "a", "output": "r", **call}]
    return "/v1/responses", {"model": running.model, "input": [*items, user]}


@pytest.mark.parametrize("protocol", ["chat", "responses", "mcp"])
@pytest.mark.parametrize("arguments", ODD.values(), ids=ODD)
async def test_the_conversation_goes_on(running: Running, protocol: str, arguments: str) -> None:
    running.play.when("and now?", "Now this.")
    path, body = asked(running, protocol, arguments)
    async with running.http() as http:
        got = await http.post(path, json=body)
        assert got.status_code == 200, got.text
        if protocol != "chat":
            kept = await http.get(f"/v1/responses/{got.json()['id']}/input_items?order=asc")
            assert kept.json()["data"][0]["arguments"] == arguments


async def test_an_input_of_which_the_model_reads_nothing_is_told_by_its_field(
    running: Running,
) -> None:
    async with running.http() as http:
        thought = {"type": "reasoning", "summary": []}
        got = await http.post("/v1/responses", json={"model": running.model, "input": [thought]})
    assert got.status_code == 400
    assert got.json()["error"]["param"] == "input"


async def test_a_response_that_failed_in_the_middle_is_found_and_continued(
    running: Running,
) -> None:
    # An engine that is asked to may say several tokens at each of its steps, of which 25 are made.
    said = "The first sentence is here. " * 40
    running.play.when("fail now", Script(said, fail_after=25, failure=ValueError("broken")))
    running.play.when("go on", "Gone on.")
    body: dict[str, Any] = {"model": running.model}
    async with running.http() as http:
        got = await http.post("/v1/responses", json={**body, "input": "fail now", "stream": True})
        assert got.status_code == 200, got.text
        events = [json.loads(line[6:]) for line in got.text.splitlines() if line[6:7] == "{"]
        first, last = events[0], events[-1]
        assert (first["type"], last["type"]) == ("response.created", "response.failed")
        kept = await http.get(f"/v1/responses/{first['response']['id']}")
        assert kept.json() == last["response"]
        again = {**body, "input": "go on", "previous_response_id": kept.json()["id"]}
        went_on = await http.post("/v1/responses", json=again)
    assert went_on.status_code == 200, went_on.text
    assert went_on.json()["output"][0]["content"][0]["text"] == "Gone on."
    (half,) = kept.json()["output"]
    assert half["content"][0]["text"].strip()
    assert half["content"][0]["text"].strip() in running.play.prompts[-1]
