"""Frameworks of agents and a proxy library: one tool call and its answer in each.

The scripted engine answers, so that a run has the same steps every time.
"""

from typing import Any

import litellm
import openai
import pytest
from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.openai import OpenAIResponsesModel as PydanticResponses
from pydantic_ai.providers.openai import OpenAIProvider

from .conftest import Scripted, call

QUESTION = "What is the weather in Oslo?"
ANSWER = "It is cold in Oslo."
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    },
}


class Verdict(BaseModel):
    answer: str


@pytest.fixture(autouse=True)
def _lines(scripted: Scripted) -> None:
    set_tracing_disabled(disabled=True)
    scripted.when(QUESTION, call("get_weather", {"location": "Oslo"}))
    scripted.when("4 degrees", ANSWER)
    scripted.when("Is water wet?", '{"answer": "yes"}')


@function_tool
def get_weather(location: str) -> str:
    """Get the weather."""
    assert location == "Oslo"
    return "4 degrees"


def agents_model(scripted: Scripted, kind: str) -> Model:
    client = openai.AsyncOpenAI(base_url=scripted.base_url, api_key=scripted.api_key)
    if kind == "chat":
        return OpenAIChatCompletionsModel(scripted.model, openai_client=client)
    return OpenAIResponsesModel(scripted.model, openai_client=client)


@pytest.mark.parametrize("kind", ["chat", "responses"])
async def test_openai_agents(scripted: Scripted, kind: str) -> None:
    agent = Agent(name="a", model=agents_model(scripted, kind), tools=[get_weather])
    assert (await Runner.run(agent, QUESTION)).final_output == ANSWER
    streamed = Runner.run_streamed(agent, QUESTION)
    kinds = [event.type async for event in streamed.stream_events()]
    assert "run_item_stream_event" in kinds
    assert streamed.final_output == ANSWER


@pytest.mark.parametrize("kind", ["chat", "responses"])
async def test_openai_agents_hand_over_and_keep_a_format(scripted: Scripted, kind: str) -> None:
    model = agents_model(scripted, kind)
    judge = Agent(name="judge", model=model, output_type=Verdict)
    clerk = Agent(name="clerk", model=model, handoffs=[judge])
    scripted.when("Is ice wet?", call("transfer_to_judge", {}))
    scripted.when('{"assistant": "judge"}', '{"answer": "no"}')
    result = await Runner.run(clerk, "Is ice wet?")
    assert result.last_agent is judge
    assert result.final_output == Verdict(answer="no")


@pytest.mark.parametrize("kind", ["chat", "responses"])
async def test_pydantic_ai(scripted: Scripted, kind: str) -> None:
    provider = OpenAIProvider(base_url=scripted.base_url, api_key=scripted.api_key)
    made: Any = OpenAIChatModel if kind == "chat" else PydanticResponses
    model = made(scripted.model, provider=provider)
    agent = PydanticAgent(model)

    @agent.tool_plain(name="get_weather")
    def weather(location: str) -> str:
        """Get the weather."""
        return f"In {location}: 4 degrees"

    assert (await agent.run(QUESTION)).output == ANSWER
    async with agent.run_stream(QUESTION) as streamed:
        assert await streamed.get_output() == ANSWER
    judge = PydanticAgent(model, output_type=NativeOutput(Verdict))
    assert (await judge.run("Is water wet?")).output == Verdict(answer="yes")


def test_litellm_chat(scripted: Scripted) -> None:
    given: Any = {
        "model": f"openai/{scripted.model}",
        "api_base": scripted.base_url,
        "api_key": scripted.api_key,
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [TOOL],
    }
    called: Any = litellm.completion(**given).choices[0].message
    assert called.tool_calls[0].function.name == "get_weather"
    result = {
        "role": "tool",
        "tool_call_id": called.tool_calls[0].id,
        "content": "4 degrees",
    }
    more = {**given, "messages": [*given["messages"], called.model_dump(), result]}
    chunks = list(litellm.completion(**more, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER


def test_litellm_responses(scripted: Scripted) -> None:
    told: Any = litellm.responses(
        model=f"openai/{scripted.model}",
        api_base=scripted.base_url,
        api_key=scripted.api_key,
        input="Is water wet?",
    )
    assert told.output[0].content[0].text == '{"answer": "yes"}'


def test_litellm_knows_a_window_that_is_too_small(scripted: Scripted) -> None:
    """Its fallbacks to other models begin with this class."""
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(
            model=f"openai/{scripted.model}",
            api_base=scripted.base_url,
            api_key=scripted.api_key,
            messages=[{"role": "user", "content": "𒀀" * 40_000}],
            num_retries=0,
        )
