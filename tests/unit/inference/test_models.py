"""Which models write calls and reasoning in which dialects."""

import pytest

from services.inference.adapters import vllm_environment
from services.inference.models import DEMO, FAMILIES, UNKNOWN, Traits, family_of
from tests.fakes.vllm_dialect import needs_vllm

HERMES = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
CASES = {
    "demo": (Traits(DEMO, "LlamaForCausalLM", HERMES), "hermes", ""),
    "Qwen 2.5": (Traits("q", "Qwen2ForCausalLM", HERMES), "hermes", ""),
    "QwQ": (Traits("q", "Qwen2ForCausalLM", f"{HERMES}<think>"), "hermes", "deepseek_r1"),
    "Qwen 3": (Traits("q", "Qwen3ForCausalLM", f"{HERMES}<think>"), "hermes", "qwen3"),
    "Qwen 3 2507": (Traits("q", "Qwen3MoeForCausalLM", HERMES), "hermes", ""),
    "Qwen 3 Coder": (Traits("q", "Qwen3MoeForCausalLM", "<function="), "qwen3_coder", ""),
    "R1 distilled": (
        Traits("r", "LlamaForCausalLM", "<\uff5cAssistant\uff5c></think>"),
        "",
        "deepseek_r1",
    ),
    "Llama 3": (
        Traits("l", "LlamaForCausalLM", "<|start_header_id|>ipython"),
        "llama3_json",
        "",
    ),
    "Llama 4": (Traits("l", "Llama4ForConditionalGeneration", ""), "llama4_pythonic", ""),
    "Nous Hermes": (Traits("h", "LlamaForCausalLM", HERMES), "hermes", ""),
    "Mistral": (Traits("m", "MistralForCausalLM", "[TOOL_CALLS]"), "mistral", ""),
    "gpt-oss": (Traits("g", "GptOssForCausalLM", ""), "openai", "openai_gptoss"),
    "GLM": (Traits("g", "Glm4MoeForCausalLM", ""), "glm45", "glm45"),
    "Kimi": (
        Traits("k", "DeepseekV3ForCausalLM", "<|tool_calls_section_begin|>"),
        "kimi_k2",
        "",
    ),
}


@pytest.mark.parametrize(("traits", "tools", "reasoning"), CASES.values(), ids=CASES)
def test_a_family_is_known_by_its_traits(traits: Traits, tools: str, reasoning: str) -> None:
    family = family_of(traits)
    assert (family.tool_parser, family.reasoning_parser) == (tools, reasoning)


def test_the_demo_model_cannot_summarise() -> None:
    assert not family_of(CASES["demo"][0]).summarises
    assert family_of(CASES["Qwen 3"][0]).summarises


def test_an_unknown_model_has_no_parsers() -> None:
    assert family_of(Traits("x", "GPT2LMHeadModel", "{{ messages }}")) is UNKNOWN
    assert UNKNOWN.tool_parser == UNKNOWN.reasoning_parser == ""


@pytest.fixture(params=[pytest.param(None, marks=needs_vllm)])
def registered(request: pytest.FixtureRequest) -> tuple[list[str], list[str]]:
    vllm_environment.prepare()
    from vllm.reasoning import ReasoningParserManager  # noqa: PLC0415
    from vllm.tool_parsers import ToolParserManager  # noqa: PLC0415

    return ToolParserManager.list_registered(), ReasoningParserManager.list_registered()


def test_vllm_has_every_parser_that_is_named(registered: tuple[list[str], list[str]]) -> None:
    tool_parsers, reasoning_parsers = registered
    assert {family.tool_parser for family in FAMILIES} - {""} <= set(tool_parsers)
    assert {family.reasoning_parser for family in FAMILIES} - {""} <= set(reasoning_parsers)
