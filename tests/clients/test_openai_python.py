"""openai-python, newest: what its helpers make of the mesh. The scripted engine answers."""

import json
from collections.abc import Iterator
from typing import Any, cast

import httpx
import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

from .conftest import Scripted, call


class Verdict(BaseModel):
    answer: str
    sure: bool


class GetWeather(BaseModel):
    """Get the weather."""

    location: str


# Text is shown when moderation has read it: a reply that waits in its middle has sentences before.
LONG = " ".join(f"This is sentence number {n}." for n in range(60))
VERDICT = Verdict(answer="yes", sure=True)
WEATHER: Any = openai.pydantic_function_tool(GetWeather, name="get_weather")
RESPONSES_WEATHER: Any = {"type": "function", **WEATHER["function"]}


@pytest.fixture
def sdk(scripted: Scripted) -> Iterator[openai.OpenAI]:
    scripted.when("Say hello.", "Hello to you!")
    scripted.when("Is water wet?", VERDICT.model_dump_json())
    scripted.when("weather in Oslo?", call("get_weather", {"location": "Oslo"}))
    scripted.when("4 degrees", "It is 4 degrees.")
    with openai.OpenAI(
        base_url=scripted.base_url, api_key=scripted.api_key, max_retries=0, timeout=60
    ) as client:
        yield client


def test_chat_is_streamed_and_gathered(sdk: openai.OpenAI, scripted: Scripted) -> None:
    with sdk.chat.completions.stream(
        model=scripted.model,
        messages=[{"role": "user", "content": "Say hello."}],
        stream_options={"include_usage": True},
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        whole = stream.get_final_completion()
    assert "".join(deltas) == whole.choices[0].message.content == "Hello to you!"
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_chat_parses_a_format_and_a_function(sdk: openai.OpenAI, scripted: Scripted) -> None:
    parsed = sdk.chat.completions.parse(
        model=scripted.model,
        messages=[{"role": "user", "content": "Is water wet?"}],
        response_format=Verdict,
    )
    assert parsed.choices[0].message.parsed == VERDICT
    called = sdk.chat.completions.parse(
        model=scripted.model,
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[WEATHER],
    )
    assert called.choices[0].finish_reason == "tool_calls"
    calls = called.choices[0].message.tool_calls
    assert calls
    (one,) = calls
    assert one.function.parsed_arguments == GetWeather(location="Oslo")


def test_chat_streams_a_function_call_and_takes_its_result(
    sdk: openai.OpenAI, scripted: Scripted
) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
    with sdk.chat.completions.stream(
        model=scripted.model, messages=asked, tools=[WEATHER]
    ) as stream:
        done = [e for e in stream if e.type == "tool_calls.function.arguments.done"]
        whole = stream.get_final_completion().choices[0].message
    assert [json.loads(event.arguments) for event in done] == [{"location": "Oslo"}]
    assert whole.tool_calls
    (called,) = whole.tool_calls
    result = {"role": "tool", "tool_call_id": called.id, "content": "4 degrees"}
    asked += [whole.model_dump(exclude_none=True), result]
    answer = sdk.chat.completions.create(
        model=scripted.model,
        messages=asked,
        tools=[WEATHER],
    )
    assert answer.choices[0].message.content == "It is 4 degrees."


def test_a_response_is_streamed_and_gathered(sdk: openai.OpenAI, scripted: Scripted) -> None:
    with sdk.responses.stream(model=scripted.model, input="Say hello.") as stream:
        events = list(stream)
        whole = stream.get_final_response()
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text == "Hello to you!"
    assert events[0].type == "response.created"
    assert events[0].response.id == whole.id
    assert sdk.responses.retrieve(whole.id).output_text == whole.output_text


def test_a_response_is_parsed(sdk: openai.OpenAI, scripted: Scripted) -> None:
    parsed = sdk.responses.parse(model=scripted.model, input="Is water wet?", text_format=Verdict)
    assert parsed.output_parsed == VERDICT
    with sdk.responses.stream(
        model=scripted.model, input="Is water wet?", text_format=Verdict
    ) as stream:
        assert stream.get_final_response().output_parsed == VERDICT


def test_a_response_calls_a_function_and_takes_its_result(
    sdk: openai.OpenAI, scripted: Scripted
) -> None:
    with sdk.responses.stream(
        model=scripted.model, input="What is the weather in Oslo?", tools=[RESPONSES_WEATHER]
    ) as stream:
        done = [e for e in stream if e.type == "response.function_call_arguments.done"]
        first = stream.get_final_response()
    (called,) = first.output
    assert isinstance(called, ResponseFunctionToolCall)
    assert [event.arguments for event in done] == [called.arguments]
    second = sdk.responses.create(
        model=scripted.model,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": called.call_id, "output": "4 degrees"}],
        tools=[RESPONSES_WEATHER],
    )
    assert second.output_text == "It is 4 degrees."


def test_what_is_stored_is_listed_counted_and_deleted(
    sdk: openai.OpenAI, scripted: Scripted
) -> None:
    made = sdk.responses.create(model=scripted.model, input="Say hello.")
    (item,) = sdk.responses.input_items.list(made.id).data
    assert item.type == "message"
    counted = sdk.responses.input_tokens.count(model=scripted.model, input="Say hello.")
    assert made.usage is not None
    assert counted.input_tokens == made.usage.input_tokens
    sdk.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(made.id)


def test_a_background_response_is_resumed(sdk: openai.OpenAI, scripted: Scripted) -> None:
    """It waits in the middle, so that the reader leaves and comes back while it is under way."""
    scripted.hold()
    scripted.when("Tell me more.", LONG, hold_after=20)
    begun = sdk.responses.create(
        model=scripted.model, input="Tell me more.", background=True, stream=True
    )
    seen = []
    for event in begun:
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    begun.close()
    first = seen[0]
    assert first.type == "response.created"
    scripted.until_held()
    assert sdk.responses.retrieve(first.response.id).status == "in_progress"
    scripted.release()
    resumed = sdk.responses.retrieve(
        first.response.id, stream=True, starting_after=seen[-1].sequence_number
    )
    rest = list(resumed)
    numbers = [event.sequence_number for event in [*seen, *rest]]
    assert numbers == list(range(len(numbers)))
    last = rest[-1]
    assert last.type == "response.completed"
    again = list(sdk.responses.retrieve(first.response.id, stream=True))
    assert again == [*seen, *rest]


def test_a_background_response_is_cancelled(sdk: openai.OpenAI, scripted: Scripted) -> None:
    scripted.hold()
    scripted.when("Never end.", LONG, hold_after=20)
    begun = sdk.responses.create(model=scripted.model, input="Never end.", background=True)
    assert begun.status in {"queued", "in_progress"}
    scripted.until_held()
    assert sdk.responses.cancel(begun.id).status == "cancelled"
    scripted.until_idle()
    scripted.release()
    assert sdk.responses.retrieve(begun.id).status == "cancelled"
    assert sdk.responses.cancel(begun.id).status == "cancelled"
    made = sdk.responses.create(model=scripted.model, input="Say hello.")
    with pytest.raises(openai.APIStatusError) as refused:
        sdk.responses.cancel(made.id)
    assert refused.value.status_code in {400, 409}


def test_a_socket_carries_turns(sdk: openai.OpenAI, scripted: Scripted) -> None:
    with sdk.responses.connect() as connection:
        for given in ("Say hello.", "Say hello."):
            connection.response.create(model=scripted.model, input=given, store=False)
            kinds = []
            for event in connection:
                kinds.append(event.type)
                if event.type == "response.completed":
                    assert event.response.output_text == "Hello to you!"
                    break
            assert kinds[0] == "response.created"


def test_failures_are_the_sdks_classes(sdk: openai.OpenAI, scripted: Scripted) -> None:
    def ask(**more: Any) -> None:
        sdk.responses.create(**{"model": scripted.model, "input": "Say hello.", **more})

    with pytest.raises(openai.BadRequestError) as wrong:
        ask(temperature=9)
    assert (wrong.value.param, wrong.value.code) == ("temperature", "invalid_value")
    assert wrong.value.request_id
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(model="gpt-none")
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        ask(input="𒀀" * 40_000)
    assert long.value.code == "context_length_exceeded"
    stranger = sdk.with_options(api_key="sk-none")
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


def test_a_refusal_for_now_is_asked_again(scripted: Scripted) -> None:
    """The first answer is made busy on its way here; the second is the mesh's own."""
    asked: list[httpx.Request] = []

    class BusyOnce(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request)
            if len(asked) == 1:
                return httpx.Response(429, headers={"retry-after-ms": "1"}, request=request)
            return super().handle_request(request)

    with openai.OpenAI(
        base_url=scripted.base_url,
        api_key=scripted.api_key,
        max_retries=1,
        http_client=cast(Any, httpx.Client(transport=BusyOnce())),
    ) as client:
        assert [model.id for model in client.models.list()] == [scripted.model]
    assert [request.headers["x-stainless-retry-count"] for request in asked] == ["0", "1"]
