"""What operators see of the mesh: health, metrics, logs; and what nobody sees in them."""

import asyncio
import json
import re
import secrets
from typing import Any

import grpc
import httpx
import openai
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from prometheus_client.parser import text_string_to_metric_families

from services.gateway.api import Ask, Completed
from services.gateway.client import GatewayClient
from services.gateway.ports import AccountKind
from services.gateway.wiring import open_key_issuer
from services.shared.conversation import Role, said
from tests.fakes.inference import Script
from tests.fakes.scripted_mesh import call
from tests.mesh.conftest import OWN, Running

NAMES = {
    "inference",
    "tokenizer",
    "moderation",
    "memory",
    "tool-runner",
    "context-assembly",
    "gateway",
}


async def test_every_service_is_healthy_and_counts_its_calls(running: Running) -> None:
    running.play.when("count me", call("calculator", '{"expression": "6*7"}'))
    running.play.when("42", "Forty-two.")
    await running.sdk().responses.create(model=running.model, input="count me", tools=[OWN])
    assert set(running.services) == NAMES
    for name, endpoint in running.services.items():
        async with grpc.aio.insecure_channel(endpoint.address) as channel:
            check: Any = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=HealthCheckRequest.SerializeToString,
                response_deserializer=HealthCheckResponse.FromString,
            )
            asked = await check(HealthCheckRequest())
        assert asked.status == HealthCheckResponse.SERVING, name
        async with httpx.AsyncClient(trust_env=False) as http:
            told = (await http.get(endpoint.metrics_url)).text
        families = {family.name: family for family in text_string_to_metric_families(told)}
        counted = "chatmesh_http_requests" if name == "gateway" else "chatmesh_rpc_handled"
        assert sum(sample.value for sample in families[counted].samples) > 0, name


async def test_inference_tells_queue_tokens_and_times(running: Running) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        told = (await http.get(running.services["inference"].metrics_url)).text
    names = {family.name for family in text_string_to_metric_families(told)}
    for part in ("running", "waiting", "first_token_seconds", "next_token_seconds"):
        assert f"chatmesh_inference_{part}" in names
    assert any("tokens" in name for name in names)


async def test_no_word_of_a_conversation_is_in_a_log_or_a_metric(running: Running) -> None:
    canaries = [f"canary{secrets.token_hex(8)}" for _ in range(5)]
    asked, said, argued, remembered, broken = canaries
    running.play.when(asked, call("remember", f'{{"fact": "my word is {remembered}"}}'))
    running.play.when(f"Saved: my word is {remembered}", f"I say {said}.")
    running.play.when(argued, call("calculator", f'{{"expression": "{argued}"}}'))
    running.play.when(f'unknown name "{argued}"', "No.")
    running.play.when(broken, Script(said, fail_after=1, failure=ValueError(broken)))
    for text in (asked, argued, broken):
        async with running.http() as http:
            body = {"model": running.model, "input": text, "tools": [OWN]}
            await http.post("/v1/responses", json=body)
    async with running.http() as http:
        await http.post("/v1/responses", json={"model": asked, "input": [{"type": said}]})
        # What they count of the mesh is not for everybody.
        assert (await http.get("/metrics")).status_code == 404
    told = ""
    for endpoint in running.services.values():
        async with httpx.AsyncClient(trust_env=False) as http:
            told += (await http.get(endpoint.metrics_url)).text
    written = running.log.read_text()
    assert '"event": "bug"' in written  # the failure was logged where it happened
    for canary in canaries:
        assert canary not in written
        assert canary not in told


async def test_logs_are_json_with_the_requests_id(running: Running) -> None:
    running.play.when("break", Script("x", fail_after=0, failure=ValueError("broken")))
    async with running.http() as http:
        got = await http.post("/v1/responses", json={"model": running.model, "input": "break"})
    assert got.status_code == 500
    assert got.json()["error"]["message"] == "internal error"
    ident = got.headers["x-request-id"]
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    of_this = [line for line in lines if line.get("request_id") == ident]
    assert {line["service"] for line in of_this} == {"inference"}


async def test_a_turn_over_grpc_is_the_same_turn(running: Running) -> None:
    running.play.when("over gRPC?", "Over gRPC.")
    ask = Ask(running.model, (said("", Role.USER, "over gRPC?"),))
    async with grpc.aio.insecure_channel(running.grpc_address) as channel:
        session = GatewayClient(channel, running.key, timeout=10)
        events = [each.event async for each in session.respond(ask)]
        assert isinstance(events[-1], Completed)
        response = events[-1].response
        assert (await session.get_response(response.id)).output == response.output
    kept = await running.sdk().responses.retrieve(response.id)
    assert kept.output_text == "Over gRPC."


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_the_engine(running: Running, stream: bool) -> None:
    running.backend.holding.clear()
    aborted = running.backend.aborted
    running.play.when("never ends", Script("word " * 200, hold_after=20))
    body = {"model": running.model, "input": "never ends", "stream": stream}
    async with running.http() as http:
        asking = asyncio.create_task(http.post("/v1/responses", json=body))
        await asyncio.wait_for(running.backend.holding.wait(), 30)
        assert running.backend.running == 1
        asking.cancel()
        await asyncio.wait([asking])
    await asyncio.wait_for(running.backend.idle.wait(), 30)
    assert running.backend.aborted == aborted + 1


@pytest.mark.parametrize(
    ("words", "code"),
    [(40_000, "context_length_exceeded"), (100_000, "string_above_max_length")],
)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
async def test_far_too_long_a_prompt_is_refused_by_its_field(
    running: Running, path: str, words: int, code: str
) -> None:
    text = " ".join(f"w{n}" for n in range(words))
    field, value = "input", [{"role": "user", "content": text}]
    if path.endswith("completions"):
        field = "messages"
    async with running.http() as http:
        got = await http.post(path, json={"model": running.model, field: value})
    assert got.status_code == 400
    assert (got.json()["error"]["code"], got.json()["error"]["param"]) == (code, field)


async def test_input_that_may_be_cut_is_cut(running: Running) -> None:
    running.play.when("the end", "It fitted.")
    messages = [
        {"role": "user", "content": " ".join(f"w{n}x{m}" for m in range(100))} for n in range(60)
    ]
    messages += [{"role": "user", "content": "the end"}]
    async with running.http() as http:
        body = {"model": running.model, "input": messages, "truncation": "auto"}
        got = await http.post("/v1/responses", json=body)
    assert got.status_code == 200
    assert "w0x0" not in running.play.prompts[-1]


async def test_a_reader_of_one_byte_at_a_time_gets_everything(running: Running) -> None:
    reply = "A river runs through the valley and past the mill. " * 20
    running.play.when("slowly", reply)
    body = json.dumps(
        {
            "model": running.model,
            "stream": True,
            "messages": [{"role": "user", "content": "slowly"}],
        }
    )
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1)
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer "
        f"{running.key}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}".encode()
    )
    got = b""
    while byte := await reader.read(1):
        got += byte
    writer.close()
    events = re.findall(rb"data: (\{.*\})", got)
    chunks = [json.loads(event) for event in events]
    text = "".join(c["delta"].get("content") or "" for ch in chunks for c in ch["choices"])
    assert text == reply.strip() or text == reply


async def test_a_revoked_key_is_refused_and_its_streams_are_cut(running: Running) -> None:
    key = await running.make_key("mallory", AccountKind.PERSONAL)
    running.play.when("never ends for mallory", Script("word " * 200, hold_after=20))
    stream = await running.sdk(key).responses.create(
        model=running.model, input="never ends for mallory", stream=True
    )
    await anext(stream)
    async with open_key_issuer(running.config) as issuer:
        await issuer.revoke(key)
    with pytest.raises(openai.APIError, match="this API key was revoked"):
        async with asyncio.timeout(5):
            async for _ in stream:
                pass
    async with asyncio.timeout(5):
        await running.backend.idle.wait()
    with pytest.raises(openai.AuthenticationError):
        async with asyncio.timeout(5):
            while True:
                await running.sdk(key).models.list()
