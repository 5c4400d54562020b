"""What strangers send: every answer is OpenAI's envelope, names the field, and repeats nothing."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from services.gateway.http.app import public
from services.gateway.ports import Account, AccountKind
from tests.fakes.mesh import limits_of, says
from tests.unit.gateway.http.conftest import OpenSite

USER = {"role": "user", "content": "hi"}
CHAT: dict[str, Any] = {"model": "demo", "messages": [USER]}
RESPONSE: dict[str, Any] = {"model": "demo", "input": "hi"}
TEXT = {"type": "text", "text": "see"}
PNG = "data:image/png;base64,"
FUNCTION = {"type": "function", "function": {"name": "f"}}


def _chat(**fields: object) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {**CHAT, **fields}


def _respond(**fields: object) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {**RESPONSE, **fields}


def _tool(parameters: object) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "f", "parameters": parameters}}]


def _nested(levels: int) -> dict[str, Any]:
    """A schema of so many objects in each other."""
    schema: dict[str, Any] = {"type": "boolean"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def _said(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


OWN = {"type": "mcp", "server_label": "chatmesh"}
WRONG = [
    (_chat(model=None), "model"),
    (_chat(model=7), "model"),
    (_chat(messages=None), "messages"),
    (_chat(messages=[]), "messages"),
    (_chat(messages="CANARY"), "messages"),
    (_chat(messages=[{"role": "CANARY", "content": "x"}]), "messages[0]"),
    (_chat(messages=[USER, {"role": "user"}]), "messages[1].content"),
    (_chat(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
    (_chat(messages=[{"role": "user", "content": [{"text": "x"}]}]), "messages[0].content[0].type"),
    (_chat(messages=[{"role": "tool", "content": "x"}]), "messages[0].tool_call_id"),
    (
        _chat(messages=[{"role": "assistant", "tool_calls": [{"id": "c"}]}]),
        "messages[0].tool_calls[0].function",
    ),
    (_chat(messages=[{"role": "user", "content": []}]), "messages[0].content"),
    (_chat(messages=[USER, _said({"type": "CANARY"})]), "messages[1].content"),
    (_chat(messages=[_said({"type": "text"})]), "messages[0].content[0].text"),
    (_chat(messages=[_said({"type": ["CANARY"]})]), "messages[0].content[0].type"),
    (
        _chat(messages=[_said(TEXT, {"type": "image_url", "image_url": {"url": "CANARY"}})]),
        "messages[0].content[1].image_url.url",
    ),
    (
        _chat(messages=[_said(TEXT, {"type": "image_url", "image_url": {"url": f"{PNG}CAN*RY"}})]),
        "messages[0].content[1].image_url.url",
    ),
    (
        _chat(messages=[_said({"type": "file", "file": {"file_data": "CAN*RY"}})]),
        "messages[0].content[0].file.file_data",
    ),
    (_chat(messages=[_said({"type": "file", "file": {}})]), "messages[0].content[0].file"),
    (
        _chat(messages=[_said({"type": "input_audio", "input_audio": {"data": "CAN*RY"}})]),
        "messages[0].content[0].input_audio.data",
    ),
    (
        _chat(messages=[{"role": "tool", "tool_call_id": "c", "content": [{"type": "CANARY"}]}]),
        "messages[0].content",
    ),
    (_chat(stream="CANARY"), "stream"),
    (_chat(stream_options={"include_usage": "CANARY"}), "stream_options.include_usage"),
    (_chat(temperature=3), "temperature"),
    (_chat(temperature="CANARY"), "temperature"),
    (_chat(top_p=0), "top_p"),
    (_chat(n=0), "n"),
    (_chat(n=1000), "n"),
    (_chat(max_tokens=0), "max_tokens"),
    (_chat(max_completion_tokens=-5), "max_completion_tokens"),
    (_chat(presence_penalty=9), "presence_penalty"),
    (_chat(frequency_penalty=-9), "frequency_penalty"),
    (_chat(max_tokens=2**40), "max_tokens"),
    (_chat(max_tokens=10**40), "max_tokens"),
    (_chat(max_completion_tokens=2**63), "max_completion_tokens"),
    (_chat(top_k=2**40), "top_k"),
    (_chat(top_k=-(10**40)), "top_k"),
    (_chat(temperature=10**40), "temperature"),
    (_chat(repetition_penalty=10**40), "repetition_penalty"),
    (_chat(seed=2**70), "seed"),
    (_chat(seed=10**40), "seed"),
    (_chat(stop=["a"] * 17), "stop"),
    (_chat(stop=""), "stop"),
    (_chat(stop=["a", "CANARY" * 300]), "stop[1]"),
    (_chat(logit_bias={"99999999999": 1}), "logit_bias"),
    (_chat(logit_bias={"4" * 5000: 1}), "logit_bias"),
    (_chat(logit_bias={"-1": 1}), "logit_bias"),
    (_chat(logit_bias={"\u0663": 1}), "logit_bias"),
    (_chat(logit_bias={str(n): 1 for n in range(1025)}), "logit_bias"),
    (_chat(logit_bias={"5": 10**40}), "logit_bias"),
    (_chat(tools=_tool(_nested(120))), "tools"),
    (_chat(response_format=_format(_nested(120))), "response_format"),
    (_chat(chat_template_kwargs={"a": _nested(120)}), "chat_template_kwargs"),
    (_chat(unknown=_nested(120)), "unknown"),
    (_respond(input=[_nested(120)]), "input"),
    (_respond(text={"format": {"type": "json_schema", "schema": _nested(120)}}), "text"),
    (_respond(max_tool_calls=2**40), "max_tool_calls"),
    (_chat(stop=[1]), "stop[0]"),
    (_chat(stop=5), "stop"),
    (_chat(top_logprobs=21), "top_logprobs"),
    (_chat(logit_bias={"CANARY": 1}), "logit_bias"),
    (_chat(logit_bias={"5": 101}), "logit_bias"),
    (_chat(tools=[{"type": "mcp", "server_label": "CANARY"}]), "tools[0].server_label"),
    (_chat(tools=[{**OWN, "require_approval": "CANARY"}]), "tools[0].require_approval"),
    (_respond(tools=[{**OWN, "require_approval": "always"}]), "tools[0].require_approval"),
    (
        _respond(tools=[{**OWN, "require_approval": {"never": {"tool_names": ["clock"]}}}]),
        "tools[0].require_approval",
    ),
    (
        _respond(tools=[{**OWN, "allowed_tools": {"read_only": True}}]),
        "tools[0].allowed_tools.read_only",
    ),
    (
        _respond(tools=[{**OWN, "allowed_tools": {"tool_names": 5}}]),
        "tools[0].allowed_tools.tool_names",
    ),
    (_respond(user="x" * 257), "user"),
    (_chat(user=5), "user"),
    (_chat(tool_choice="required"), "tool_choice"),
    (_respond(tool_choice="required"), "tool_choice"),
    (_respond(tool_choice={"type": "CANARY"}), "tool_choice"),
    (_respond(tool_choice={"type": "mcp", "server_label": "chatmesh"}), "tool_choice"),
    (
        _respond(
            tools=[OWN, {"type": "function", "name": "f"}],
            tool_choice={"type": "mcp", "server_label": "chatmesh", "name": "f"},
        ),
        "tool_choice",
    ),
    (_respond(input=[{"type": "item_reference", "id": "msg_1"}]), "input[0]"),
    (_respond(input=[{"type": "mcp_list_tools"}]), "input"),
    (_respond(input=[{"type": "CANARY_call"}]), "input[0]"),
    (_respond(input=[{"type": "custom_tool_call", "call_id": "c"}]), "input[0].name"),
    (
        _respond(input=[{"type": "mcp_list_tools"}, {"type": "item_reference", "id": "m"}]),
        "input[1]",
    ),
    (_chat(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    (
        _chat(tools=[{"type": "function", "function": {"name": "CANARY !"}}]),
        "tools[0].function.name",
    ),
    (_chat(tools=_tool("CANARY")), "tools[0].function.parameters"),
    (_chat(tools=_tool({"type": "CANARY"})), "tools[0].function.parameters"),
    (_chat(tools=_tool({"properties": [1]})), "tools[0].function.parameters"),
    (_chat(tools=[FUNCTION] * 129), "tools"),
    (_chat(tools=[FUNCTION], tool_choice="CANARY"), "tool_choice"),
    (_chat(tools=[FUNCTION], tool_choice={"type": "function"}), "tool_choice.function"),
    (
        _chat(tools=[FUNCTION], tool_choice={"type": "function", "function": {"name": "g"}}),
        "tool_choice",
    ),
    (_chat(response_format={"type": "CANARY"}), "response_format.type"),
    (_chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
    (_chat(safety_identifier="x" * 300), "safety_identifier"),
    (_respond(input=None), "input"),
    (_respond(input=[]), "input"),
    (_respond(input=[{"type": "CANARY"}]), "input[0]"),
    (_respond(input=[{"type": "function_call_output", "output": "x"}]), "input[0].call_id"),
    (_respond(input=[{"role": "CANARY", "content": "x"}]), "input[0].role"),
    (_respond(input=[{"role": "user", "content": []}]), "input[0].content"),
    (_respond(input=[_said({"type": "CANARY"})]), "input[0].content"),
    (
        _respond(input=[_said({"type": "input_image", "image_url": f"{PNG}CAN*RY"})]),
        "input[0].content[0].image_url",
    ),
    (
        _respond(input=[_said({"type": "input_image", "image_url": "file:///CANARY"})]),
        "input[0].content[0].image_url",
    ),
    (
        _respond(input=[_said({"type": "input_image", "image_url": "data:text/plain,CANARY"})]),
        "input[0].content[0].image_url",
    ),
    (
        _respond(input=[_said({"type": "input_image", "image_url": PNG})]),
        "input[0].content[0].image_url",
    ),
    (_respond(input=[_said({"type": "input_image"})]), "input[0].content[0]"),
    (
        _respond(input=[_said({"type": "input_file", "file_data": "CAN*RY"})]),
        "input[0].content[0].file_data",
    ),
    (
        _respond(input=[_said({"type": "input_file", "file_url": "CANARY"})]),
        "input[0].content[0].file_url",
    ),
    (
        _respond(
            input=[
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_image", "image_url": f"{PNG}CAN*RY"}],
                }
            ]
        ),
        "input[0].output[0].image_url",
    ),
    (_respond(input=[{"role": "assistant", "content": "x", "phase": "CANARY"}]), "input[0].phase"),
    (_respond(input=[{"type": "reasoning", "summary": [{"text": 5}]}]), "input[0].summary[0].text"),
    (_respond(input=[{"type": "compaction"}]), "input[0].encrypted_content"),
    (_respond(max_output_tokens=2**40), "max_output_tokens"),
    (_respond(tools=[{"type": "function"}]), "tools[0].name"),
    (_respond(tools=[{"type": "mcp", "server_label": "CANARY"}]), "tools[0].server_label"),
    (_respond(text={"format": {"type": "CANARY"}}), "text.format.type"),
    (_respond(truncation="CANARY"), "truncation"),
    (_respond(metadata={"k": "v" * 600}), "metadata"),
    (_respond(metadata={"k": 5}), "metadata.k"),
    (_respond(background=True, store=False), "background"),
    (_respond(background="CANARY"), "background"),
    (_respond(stream_options=5), "stream_options"),
    (
        _respond(stream_options={"include_obfuscation": "CANARY"}),
        "stream_options.include_obfuscation",
    ),
    (_respond(include=["CANARY"]), "include[0]"),
    (_respond(include="CANARY"), "include"),
    (_respond(service_tier=5), "service_tier"),
    (_respond(presence_penalty=3), "presence_penalty"),
    (_respond(frequency_penalty="CANARY"), "frequency_penalty"),
    (_respond(prompt_cache_key=5), "prompt_cache_key"),
    (_respond(prompt_cache_key="x" * 2000), "prompt_cache_key"),
    (_respond(prompt={"id": "pmpt_1"}), "prompt"),
    (_respond(context_management="CANARY"), "context_management"),
    (_respond(context_management=[{"type": "CANARY"}]), "context_management[0].type"),
    (_respond(context_management=[7]), "context_management[0]"),
    (
        _respond(context_management=[{"type": "compaction", "compact_threshold": 0}]),
        "context_management[0].compact_threshold",
    ),
    (
        _respond(context_management=[{"type": "compaction", "compact_threshold": "CANARY"}]),
        "context_management[0].compact_threshold",
    ),
    (_respond(context_management=[{"type": "compaction"}] * 2), "context_management"),
    (_respond(conversation=7), "conversation"),
    (_respond(conversation={}), "conversation.id"),
    (_respond(conversation={"id": "conv_1", "when_busy": "CANARY"}), "conversation.when_busy"),
    (_chat(functions=[{"name": "f"}]), "functions"),
    (_chat(function_call={"name": "f"}), "function_call"),
    (_respond(max_output_tokens=0), "max_output_tokens"),
    (_respond(previous_response_id="resp_none"), "previous_response_id"),
    (_respond(model="CANARY"), "model"),
]


@pytest.mark.parametrize(("request_", "param"), WRONG, ids=lambda value: str(value)[:60])
async def test_a_wrong_field_is_named_and_not_repeated(
    site: OpenSite, request_: tuple[str, dict[str, Any]], param: str
) -> None:
    path, body = request_
    async with site() as here:
        got = await here.http.post(path, json=body)
    assert got.status_code in {400, 404}, got.text
    assert got.json()["error"]["param"] == param
    assert set(got.json()["error"]) == {"message", "type", "param", "code"}
    assert "CANARY" not in got.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"model": NaN}', b"[" * 100_000],
    ids=["empty", "open", "list", "null", "string", "bytes", "nan", "deep"],
)
async def test_what_is_not_a_request_is_a_400(site: OpenSite, body: bytes) -> None:
    async with site() as here:
        headers = {"content-type": "application/json"}
        got = await here.http.post("/v1/chat/completions", content=body, headers=headers)
    assert got.status_code == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert got.json()["error"]["message"].startswith("the body")


@pytest.mark.parametrize("where", ["text", "tool", "model", "schema"])
async def test_lone_surrogates_are_refused(site: OpenSite, where: str) -> None:
    lone = "\ud800"
    body = {
        "text": {**CHAT, "messages": [{"role": "user", "content": lone}]},
        "tool": {**CHAT, "tools": [{"type": "function", "function": {"name": lone}}]},
        "model": {**CHAT, "model": lone},
        "schema": {**CHAT, "tools": _tool({"description": lone})},
    }[where]
    async with site() as here:
        headers = {"content-type": "application/json"}
        content = json.dumps(body)
        got = await here.http.post("/v1/chat/completions", content=content, headers=headers)
    assert got.status_code == 400
    assert got.json()["error"]["message"] == "the body is not valid JSON"


async def test_nul_and_every_other_character_pass(site: OpenSite) -> None:
    odd = "a\x00b\u202e\ufdd0\U000e0041🙂"
    async with site(says("ok")) as here:
        body = {**CHAT, "messages": [{"role": "user", "content": odd}]}
        got = await here.http.post("/v1/chat/completions", json=body)
        assert here.mesh.context.assemblies[0].input[0].text == odd  # type: ignore[union-attr]
    assert got.status_code == 200


NESTINGS: dict[str, Callable[[object], object]] = {
    "properties": lambda inner: {"type": "object", "properties": {"x": inner}},
    "items": lambda inner: {"items": inner},
    "not": lambda inner: {"not": inner},
    "allOf": lambda inner: {"allOf": [inner]},
    "enum": lambda inner: {"enum": [inner]},
    "patternProperties": lambda inner: {"patternProperties": {"x": {"if": inner, "then": inner}}},
}


@pytest.mark.parametrize("nesting", NESTINGS)
async def test_the_deepest_schema_is_read_or_refused_by_its_field(
    site: OpenSite, nesting: str
) -> None:
    """Whatever it is made of; a little more is refused."""
    statuses = []
    for levels in range(20, 110, 8):
        schema: Any = {}
        for _ in range(levels if nesting != "patternProperties" else min(levels, 20) // 2):
            schema = NESTINGS[nesting](schema)
        async with site(says("ok")) as here:
            body = {**CHAT, "response_format": _format(schema)}
            got = await here.http.post("/v1/chat/completions", json=body)
        statuses.append(got.status_code)
        if got.status_code != 200:
            assert got.json()["error"]["param"].startswith("response_format"), got.text
    assert statuses[0] == 200
    assert set(statuses) <= {200, 400}


async def test_many_messages_pass(site: OpenSite) -> None:
    async with site(says("ok")) as here:
        got = await here.http.post("/v1/chat/completions", json={**CHAT, "messages": [USER] * 900})
    assert got.status_code == 200


@pytest.mark.parametrize("declared", [True, False])
async def test_a_huge_body_is_refused_before_it_is_read(site: OpenSite, declared: bool) -> None:
    async def pieces() -> Any:
        for _ in range(300):
            yield b" " * 1000

    async with site() as here:
        content = b" " * 300_000 if declared else pieces()
        headers = {"content-type": "application/json"}
        try:
            got = await here.http.post("/v1/chat/completions", content=content, headers=headers)
        except httpx.WriteError:  # refused while it was still being sent
            return
    assert got.status_code == 413


KEYS = [
    "",
    "Bearer",
    "Basic abc",
    "Bearer nonsense",
    "Bearer cm_live_AAAAAAAA_" + "B" * 43 + "_00000000",
    "Bearer ' OR 1=1 --",
    "Bearer " + "x" * 5000,
]


@pytest.mark.parametrize("authorization", KEYS, ids=lambda value: value[:24])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
        ("POST", "/v1/responses/input_tokens"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/demo"),
    ],
)
async def test_no_valid_key_no_entry(
    site: OpenSite, authorization: str, method: str, path: str
) -> None:
    async with site() as here:
        headers = {"authorization": authorization}
        got = await here.http.request(method, path, headers=headers, content=b"{garbage")
    assert got.status_code == 401
    assert got.headers["www-authenticate"].startswith("Bearer")
    assert got.json()["error"]["code"] == "invalid_api_key"


async def test_a_revoked_key_opens_nothing(site: OpenSite) -> None:
    async with site() as here:
        assert (await here.http.get("/v1/models")).status_code == 200
        await here.mesh.accounts.revoke_keys("acct_1")
        assert (await here.http.get("/v1/models")).status_code == 401


async def test_another_tenants_response_is_not_there(site: OpenSite) -> None:
    async with site(says("mine")) as here:
        mine = (await here.http.post("/v1/responses", json=RESPONSE)).json()["id"]
        stranger = Account("acct_other", "Eve", AccountKind.PERSONAL)
        other = await here.mesh.authenticator.create_key(stranger)
        headers = {"authorization": f"Bearer {other}"}
        for method, path, body in (
            ("GET", f"/v1/responses/{mine}", None),
            ("GET", f"/v1/responses/{mine}?stream=true", None),
            ("GET", f"/v1/responses/{mine}/input_items", None),
            ("POST", f"/v1/responses/{mine}/cancel", None),
            ("DELETE", f"/v1/responses/{mine}", None),
            ("POST", "/v1/responses/input_tokens", {**RESPONSE, "previous_response_id": mine}),
            ("POST", "/v1/responses", {**RESPONSE, "previous_response_id": mine}),
        ):
            theirs = await here.http.request(method, path, json=body, headers=headers)
            nobodys = await here.http.request(
                method,
                path.replace(mine, "resp_none"),
                json={**body, "previous_response_id": "resp_none"} if body else None,
                headers=headers,
            )
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.json() == nobodys.json()


async def test_every_route_that_is_not_public_asks_for_a_key(site: OpenSite) -> None:
    open_to_all = {route.path for route in public.routes}  # type: ignore[attr-defined]
    assert open_to_all == {"/healthz", "/readyz"}
    async with site() as here:
        paths = (await here.http.get("/openapi.json")).json()["paths"]
        for path in set(paths) - open_to_all:
            for method in paths[path]:
                got = await here.http.request(method, path, headers={"authorization": ""})
                assert got.status_code == 401, path


async def test_too_many_turns_are_told_to_come_again(site: OpenSite) -> None:
    waiting = [says("x") for _ in range(2)]
    for script in waiting:
        script.pause_before = 0
    async with site(*waiting, limits=limits_of(turns=2)) as here:
        first = [
            asyncio.create_task(here.http.post("/v1/chat/completions", json=CHAT)) for _ in waiting
        ]
        for script in waiting:
            await asyncio.wait_for(script.paused.wait(), 5)
        got = await here.http.post("/v1/chat/completions", json=CHAT)
        assert got.status_code == 429
        assert got.headers["retry-after"] == "1"
        for script in waiting:
            script.go_on.set()
        assert [done.status_code for done in await asyncio.gather(*first)] == [200, 200]


async def test_a_client_that_sends_slowly_is_not_waited_for_for_ever(site: OpenSite) -> None:
    async with site() as here:
        host, port = here.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {here.mesh.key}\r\n"
        )
        sent = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        writer.write(f"{head}{sent}".encode())
        answer = await asyncio.wait_for(reader.readline(), 20)
        writer.close()
    assert b"408" in answer
