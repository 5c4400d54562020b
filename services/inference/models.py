"""Which models write function calls and reasoning in which of vLLM's dialects.

A model's family is found by its architecture (`config.json`) and by marks in its chat template. The
first family that fits counts; a model that fits none is served without tools. Whether a prompt has
switched reasoning on is not decided here: the parsers see it in the prompt's last ids.
"""

import re
from dataclasses import dataclass

DEMO = "chatmesh-demo"


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a model before it runs."""

    # As it is served.
    name: str
    architecture: str
    chat_template: str


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """Models that one pair of parsers understands; an empty name means no parser."""

    tool_parser: str = ""
    reasoning_parser: str = ""
    # A regular expression that the whole of the architecture's name matches.
    architecture: str = ".*"
    # All of these stand in the chat template.
    marks: tuple[str, ...] = ()
    name: str = ""
    # Whether a summary that such a model writes is worth keeping.
    summarises: bool = True

    def fits(self, traits: Traits) -> bool:
        return (
            self.name in {"", traits.name}
            and re.fullmatch(self.architecture, traits.architecture) is not None
            and all(mark in traits.chat_template for mark in self.marks)
        )


_JSON_CALL = "<tool_call>"
_XML_CALL = "<function="
_DEEPSEEK_CALL = "<｜tool▁calls▁begin｜>"  # noqa: RUF001 - they write it so
_DEEPSEEK_TURN = "<｜Assistant｜>"  # noqa: RUF001
_KIMI_CALL = "<|tool_calls_section_begin|>"
_THINK = "<think>"
_THOUGHT = "</think>"
_MISTRAL = "(Mistral|Mixtral|Ministral).*"

# Tokens with which a model begins a call. Where none is offered, it may not write them.
CALL_OPENINGS = frozenset(
    {
        *(_JSON_CALL, _DEEPSEEK_CALL, _KIMI_CALL),
        *("[TOOL_CALLS]", "<tool_calls>", "<|tool_call|>", "<|tool_call>", "<|python_tag|>"),
        *("<|tool_call_start|>", "<|action_start|>", "<minimax:tool_call>", "<seed:tool_call>"),
        *("<start_function_call>", "<|function_call|>", "<function_call>"),
    }
)

FAMILIES = (
    ModelFamily("hermes", name=DEMO, summarises=False),
    ModelFamily("openai", "openai_gptoss", "GptOssForCausalLM"),
    # Kimi K2 has DeepSeek's architecture; R1's distilled models have Qwen's and Llama's.
    ModelFamily("kimi_k2", "kimi_k2", marks=(_KIMI_CALL, _THOUGHT)),
    ModelFamily("kimi_k2", marks=(_KIMI_CALL,)),
    ModelFamily("deepseek_v4", "deepseek_v4", "DeepseekV4.*"),
    ModelFamily("deepseek_v32", "deepseek_r1", "DeepseekV32.*"),
    ModelFamily("deepseek_v31", "deepseek_r1", "Deepseek.*", (_DEEPSEEK_CALL, "thinking")),
    ModelFamily("deepseek_v3", "deepseek_r1", "Deepseek.*", (_DEEPSEEK_CALL, _THOUGHT)),
    ModelFamily("deepseek_v3", "", "Deepseek.*", (_DEEPSEEK_CALL,)),
    ModelFamily("", "deepseek_r1", "(Qwen2|Llama).*", (_DEEPSEEK_TURN, _THOUGHT)),
    ModelFamily("glm45", "glm45", "Glm4Moe.*"),
    ModelFamily("qwen3_coder", "qwen3", "Qwen3.*", (_XML_CALL, _THINK)),
    ModelFamily("qwen3_coder", "", "Qwen3.*", (_XML_CALL,)),
    ModelFamily("hermes", "qwen3", "Qwen3.*", (_JSON_CALL, _THINK)),
    ModelFamily("hermes", "deepseek_r1", "Qwen2.*", (_JSON_CALL, _THINK)),
    ModelFamily("minimax_m2", "minimax_m2", "MiniMaxM2.*"),
    ModelFamily("seed_oss", "seed_oss", "SeedOss.*"),
    ModelFamily("step3", "step3", "Step3VL.*"),
    ModelFamily("ernie45", "ernie45", "Ernie4_5.*", (_THOUGHT,)),
    ModelFamily("hunyuan_a13b", "hunyuan_a13b", "HunYuanMoE.*"),
    ModelFamily("olmo3", "olmo3", "Olmo3.*"),
    ModelFamily("gemma4", "gemma4", "Gemma4.*"),
    ModelFamily("mistral", "mistral", _MISTRAL, ("[TOOL_CALLS]", "[THINK]")),
    ModelFamily("mistral", "", _MISTRAL, ("[TOOL_CALLS]",)),
    ModelFamily("llama4_pythonic", "", "Llama4.*"),
    ModelFamily("llama3_json", "", "Llama.*", ("<|start_header_id|>", "ipython")),
    ModelFamily("granite4", "", "GraniteMoeHybrid.*"),
    ModelFamily("granite", "", "Granite.*", ("<|tool_call|>",)),
    ModelFamily("phi4_mini_json", "", "Phi.*", ("<|tool|>",)),
    ModelFamily("internlm", "", "InternLM.*"),
    ModelFamily("jamba", "", "Jamba.*", ("<tool_calls>",)),
    # Qwen 2.5, Nous Hermes, and whoever writes calls as they do.
    ModelFamily("hermes", marks=(_JSON_CALL, "arguments")),
)
UNKNOWN = ModelFamily(summarises=False)


def family_of(traits: Traits) -> ModelFamily:
    return next((family for family in FAMILIES if family.fits(traits)), UNKNOWN)
