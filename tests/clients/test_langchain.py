"""LangChain's standard tests for chat models, in both of its modes.

vLLM and the demo model answer, but for some of the tests: the model knows neither jokes nor
Chinese, and calls no function that takes nothing. There the scripted engine answers.

What LangChain marks as optional and is skipped here:
- audio, and pictures and PDF files in messages and tool results: the model reads text only, and
  LangChain's tests fetch them from the web;
- Anthropic's format of messages, which OpenAI's API does not have;
- the timing of streams, which LangChain replays from a recording.
"""

import json
from typing import Any, ClassVar

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from .conftest import Scripted, Served, call

JOKE = '{"setup": "Why do cats not play cards?", "punchline": "Too many cheetahs."}'
# What the scripted engine says, by the last words of the question; and the tests that ask it.
LINES = {
    "Return nothing other than JSON.": JOKE,
    "Tell me a joke about cats.": JOKE,
    "What is the value of magic_function_no_args()? Use the tool.": call(
        "magic_function_no_args", {}
    ),
    "a Chinese technology company": call(
        "unicode_customer", {"customer_name": "你好啊集团", "description": "Technology."}
    ),
    "a Japanese company": call(
        "unicode_customer", {"customer_name": "こんにちは株式会社", "description": "A company."}
    ),
}
SCRIPTED = {
    "test_json_mode",
    "test_structured_output_pydantic_2_v1",
    "test_tool_calling_with_no_arguments",
    "test_unicode_tool_call_integration",
}


class StandardTests(ChatModelIntegrationTests):
    uses_responses: ClassVar[bool]

    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        made: type[ChatOpenAI] = ChatOpenAI
        return made

    @property
    def supports_json_mode(self) -> bool:
        return True

    @pytest.fixture(autouse=True)
    def _answered_by(self, request: pytest.FixtureRequest) -> None:
        if request.node.originalname not in SCRIPTED:
            self.mesh: Served = request.getfixturevalue("demo")
            return
        scripted: Scripted = request.getfixturevalue("scripted")
        for read, reply in LINES.items():
            scripted.when(read, reply)
        # Where it is offered, a function takes the joke.
        joke = call("Joke", json.loads(JOKE))
        scripted.when("Tell me a joke about cats.", joke, shown="Joke")
        self.mesh = scripted

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "base_url": self.mesh.base_url,
            "api_key": self.mesh.api_key,
            "model": self.mesh.model,
            "use_responses_api": self.uses_responses,
            # Left to itself it asks for usage only where the address is OpenAI's own.
            "stream_usage": True,
            "max_retries": 0,
        }

    @property
    def model_override_value(self) -> str:
        return self.mesh.model


class TestChat(StandardTests):
    uses_responses = False


class TestResponses(StandardTests):
    uses_responses = True
