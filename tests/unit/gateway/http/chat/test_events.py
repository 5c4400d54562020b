"""Chat completions through the official SDK, and on the wire."""

import asyncio
import json
from dataclasses import replace

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from services.inference.api import Delta, Piece, QueueFull, TokenLogprob
from tests.fakes.mesh import Script, calls, finished, says
from tests.unit.gateway.http.conftest import OpenSite, Site

HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
OWN = {"type": "mcp", "server_label": "chatmesh"}
CITY = {
    "type": "function",
    "function": {"name": "city", "parameters": {"type": "object", "properties": {}}},
}


async def chunks(site: Site, **extra: object) -> list[ChatCompletionChunk]:
    async with site.sdk() as client:
        body: dict[str, object] = {**HELLO, **extra}
        stream = await client.chat.completions.create(stream=True, **body)  # type: ignore[call-overload]
        return [chunk async for chunk in stream]


async def test_a_stream_brings_the_words_the_end_and_the_usage(site: OpenSite) -> None:
    async with site(says("Hello ", "Ada.")) as here:
        got = await chunks(here, stream_options={"include_usage": True})
    assert got[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in got if c.choices) == "Hello Ada."
    assert got[-2].choices[0].finish_reason == "stop"
    assert got[-1].usage
    assert got[-1].usage.prompt_tokens == 10
    assert got[-1].usage.prompt_tokens_details
    assert got[-1].usage.prompt_tokens_details.cached_tokens == 4
    assert len({chunk.id for chunk in got}) == 1


async def test_an_answer_at_once_is_the_stream_collected(site: OpenSite) -> None:
    async with site(says("Hello ", "Ada.", reasoning="hm")) as here, here.sdk() as client:
        got = await client.chat.completions.create(**HELLO)  # type: ignore[call-overload]
    message = got.choices[0].message
    assert message.content == "Hello Ada."
    assert message.reasoning_content == "hm"
    assert got.usage.total_tokens == 12


async def test_a_callers_function_is_streamed_with_its_id_first(site: OpenSite) -> None:
    async with site(calls(("city", '{"q": "Oslo"}'))) as here:
        got = await chunks(here, tools=[CITY])
    deltas = [call for c in got for call in c.choices[0].delta.tool_calls or ()]
    assert deltas[0].id
    assert deltas[0].function
    assert deltas[0].function.name == "city"
    arguments = "".join(call.function.arguments or "" for call in deltas if call.function)
    assert json.loads(arguments) == {"q": "Oslo"}
    assert got[-1].choices[0].finish_reason == "tool_calls"


async def test_the_meshs_own_calls_show_as_nothing_but_the_answer(site: OpenSite) -> None:
    async with site(calls(("double", '{"n": 4}')), says("8")) as here:
        got = await chunks(here, tools=[OWN])
    assert not any(c.choices[0].delta.tool_calls for c in got)
    assert "".join(c.choices[0].delta.content or "" for c in got) == "8"


async def test_a_functions_answer_goes_back_to_the_model(site: OpenSite) -> None:
    messages = [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "city", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Oslo"},
    ]
    async with site(says("Oslo it is.")) as here:
        got = await chunks(here, messages=messages, tools=[CITY])
        kinds = [type(item).__name__ for item in here.mesh.context.assemblies[0].input]
    assert kinds == ["Message", "Call", "CallResult"]
    assert got


async def test_several_choices(site: OpenSite) -> None:
    pieces = [Piece((Delta(0, text="one"), Delta(1, text="two")))]
    async with site(Script(finished(pieces))) as here, here.sdk() as client:
        got = await client.chat.completions.create(**HELLO, n=2)  # type: ignore[call-overload]
    assert [choice.message.content for choice in got.choices] == ["one", "two"]


async def test_log_probabilities(site: OpenSite) -> None:
    top = (TokenLogprob(1, "Hi", -0.1), TokenLogprob(2, "Ho", -2.0))
    piece = Piece((Delta(0, text="Hi", logprobs=(replace(top[0], top=top),)),))
    async with site(Script(finished([piece]))) as here, here.sdk() as client:
        got = await client.chat.completions.create(**HELLO, logprobs=True)  # type: ignore[call-overload]
    (content,) = got.choices[0].logprobs.content
    assert (content.token, content.bytes) == ("Hi", [72, 105])
    assert [each.token for each in content.top_logprobs] == ["Hi", "Ho"]


async def test_every_event_is_sent_whole(site: OpenSite) -> None:
    async with (
        site(says("a", "b", "c")) as here,
        here.http.stream("POST", "/v1/chat/completions", json={**HELLO, "stream": True}) as got,
    ):
        raw = [chunk async for chunk in got.aiter_raw()]
        assert got.headers["content-type"].startswith("text/event-stream")
        assert got.headers["x-request-id"].startswith("req_")
    assert all(chunk.endswith(b"\n\n") for chunk in raw)
    assert raw[-1].endswith(b"data: [DONE]\n\n")


async def test_a_stopped_reply_says_content_filter(site: OpenSite) -> None:
    async with site(says("all is well", " forbidden")) as here:
        got = await chunks(here)
    assert got[-1].choices[0].finish_reason == "content_filter"
    assert "forbidden" not in "".join(c.choices[0].delta.content or "" for c in got)


async def test_a_failure_before_the_first_byte_has_a_status(site: OpenSite) -> None:
    body = {**HELLO, "messages": [{"role": "user", "content": "a forbidden wish"}]}
    async with site() as here:
        got = await here.http.post("/v1/chat/completions", json={**body, "stream": True})
    assert got.status_code == 400
    assert got.json()["error"]["code"] == "content_policy_violation"


async def test_a_failure_after_it_is_told_in_the_stream(site: OpenSite) -> None:
    script = Script(says("one two three").pieces[:1], failure=QueueFull("full", retry_after="2"))
    async with site(script) as here:
        with pytest.raises(openai.APIError, match="full"):
            await chunks(here)


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_stops_the_model(site: OpenSite, stream: bool) -> None:
    script = replace(says("a", "b"), pause_before=1)
    async with site(script) as here:
        asking = asyncio.create_task(
            here.http.post("/v1/chat/completions", json={**HELLO, "stream": stream}, timeout=30)
        )
        await asyncio.wait_for(script.paused.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(here.mesh.inference.idle.wait(), 5)
        assert here.mesh.inference.aborted == 1


async def test_leaving_stops_the_tool(site: OpenSite) -> None:
    async with site(calls(("wait", "{}"))) as here:
        asking = asyncio.create_task(
            here.http.post("/v1/chat/completions", json={**HELLO, "tools": [OWN]}, timeout=30)
        )
        await asyncio.wait_for(here.mesh.tools.started.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(here.mesh.tools.cancelled.wait(), 5)
