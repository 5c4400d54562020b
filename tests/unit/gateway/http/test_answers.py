"""What routes answer is what the OpenAPI document says: every route's answer, in one story."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.guard import OutputModeration
from services.gateway.http.answers import ErrorEnvelope, ResponseAnswer
from services.gateway.http.openapi import ANSWERS
from tests.fakes.mesh import Script, calls, says
from tests.unit.gateway.http.conftest import OpenSite, Site
from tests.unit.gateway.http.test_bad_input import CHAT, RESPONSE

OWN = {"type": "mcp", "server_label": "chatmesh"}
CITY = {"type": "function", "name": "city", "parameters": {"type": "object"}}
RUN = {"type": "custom", "name": "run"}
DOT = "data:image/png;base64,AAAA"
# One item of every kind that a conversation may hold.
ITEMS: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": DOT},
            {"type": "input_file", "filename": "a.txt", "file_data": "AAAA"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ],
    },
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "function_call", "call_id": "c1", "name": "city", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "Ulm"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "run", "input": "x"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "text", "text": "y"}]},
    {"type": "web_search_call", "id": "ws_1"},
]


@dataclass(slots=True)
class Asked:
    """Asks routes by their names, and holds what they answer against the document."""

    site: Site
    names: set[str] = field(default_factory=set)

    async def get(self, name: str, path: str) -> dict[str, Any]:
        return await self._ask(name, "GET", path, None)

    async def post(self, name: str, path: str, body: Any = None) -> dict[str, Any]:
        return await self._ask(name, "POST", path, body)

    async def delete(self, name: str, path: str) -> dict[str, Any]:
        return await self._ask(name, "DELETE", path, None)

    async def _ask(self, name: str, method: str, path: str, body: Any) -> dict[str, Any]:
        got = await self.site.http.request(method, path, json=body)
        assert got.status_code == 200, got.text
        model = ANSWERS[name].model
        assert model
        model.model_validate(got.json(), strict=True)
        self.names.add(name)
        answer: dict[str, Any] = got.json()
        return answer


async def talked(asked: Asked, turns: Sequence[str]) -> str:
    """Responses of several kinds; the id of the last."""
    await asked.post("ChatCompletionRequest", "/v1/chat/completions", CHAT)
    made = {}
    for wanted in turns:
        body = {**RESPONSE, "tools": [OWN, CITY, RUN], "instructions": wanted}
        made = await asked.post("ResponseRequest", "/v1/responses", body)
    await asked.get("get_response", f"/v1/responses/{made['id']}")
    await asked.get("list_input_items", f"/v1/responses/{made['id']}/input_items")
    await asked.post("count_input_tokens", "/v1/responses/input_tokens", RESPONSE)
    await asked.post("CompactRequest", "/v1/responses/compact", RESPONSE)
    return str(made["id"])


async def kept(asked: Asked) -> None:
    """A conversation with an item of every kind."""
    made = await asked.post("create_conversation", "/v1/conversations", {"items": ITEMS})
    one = f"/v1/conversations/{made['id']}"
    await asked.get("list_conversations", "/v1/conversations")
    await asked.get("get_conversation", one)
    await asked.post("update_conversation", one, {"metadata": {"topic": "sights"}})
    await asked.post("add_items", f"{one}/items", {"items": ITEMS[:1]})
    listed = await asked.get("list_items", f"{one}/items")
    assert len(listed["data"]) == len(ITEMS) + 1
    for item in listed["data"]:
        await asked.get("get_item", f"{one}/items/{item['id']}")
    await asked.delete("delete_item", f"{one}/items/{listed['last_id']}")
    await asked.delete("delete_conversation", one)
    empty = await asked.get("list_conversations", "/v1/conversations")
    assert not empty["data"]


async def steered(asked: Asked, script: Script) -> str:
    """A turn in the background, which waits for words and goes on; the id of what it becomes."""
    body = {**RESPONSE, "background": True}
    begun = await asked.post("ResponseRequest", "/v1/responses", body)
    await asyncio.wait_for(script.paused.wait(), 5)
    path = f"/v1/responses/{begun['id']}"
    await asked.get("get_response", path)
    steering = asyncio.create_task(
        asked.post("steer_response", f"{path}/steer", {"input": "in French"})
    )
    async with asyncio.timeout(5):
        while not asked.site.mesh.front.live_turns.words_wait_for(begun["id"]):  # noqa: ASYNC110
            await asyncio.sleep(0)
    script.go_on.set()
    return str((await asyncio.wait_for(steering, 5))["response_id"])


async def test_every_route_answers_as_the_document_says(site: OpenSite) -> None:
    scripts = [
        says("Hi."),
        calls(("double", '{"n": 2}')),
        says("4", reasoning="hm"),
        calls(("city", "{}"), ("run", '{"input": "x"}'), text="I look."),
    ]
    waiting = replace(says("one ", "two"), pause_before=1)
    going = replace(says("deux ", "trois"), pause_before=1)
    async with site(*scripts, waiting, going, mode=OutputModeration.OFF) as here:
        asked = Asked(here)
        last = await talked(asked, ["double", "call"])
        await kept(asked)
        following = await steered(asked, waiting)
        await asyncio.wait_for(going.paused.wait(), 5)
        await asked.post("cancel_response", f"/v1/responses/{following}/cancel")
        await asked.delete("delete_response", f"/v1/responses/{last}")
        await asked.get("list_models", "/v1/models")
        await asked.get("get_model", "/v1/models/demo")
        await asked.get("healthz", "/healthz")
        await asked.get("readyz", "/readyz")
        assert asked.names == {*ANSWERS}


async def test_what_is_not_as_described_is_seen(site: OpenSite) -> None:
    async with site(says("Hi.")) as here:
        response = (await here.http.post("/v1/responses", json=RESPONSE)).json()
        wrong = (await here.http.post("/v1/responses", json={})).json()
    assert ErrorEnvelope.model_validate(wrong).error.param == "model"
    for changed in ({"status": "done"}, {"output": [{"id": "x", "type": "message"}]}):
        with pytest.raises(ValidationError):
            ResponseAnswer.model_validate({**response, **changed})
