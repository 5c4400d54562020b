"""Which models write function calls and reasoning in which of vLLM's dialects.

A model is known by its architecture (`config.json`) and by marks in its chat template; the first
family that fits counts, and what fits none is served without tools. Whether a prompt switched
reasoning on is not told here: the parsers read it off the prompt's last ids.
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
class Family:
    """Models that one pair of parsers understands; an empty parser name is none."""

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
_DEEPSEEK_CALL = "<｜tool▁calls▁begin｜>"  # noqa: RUF001 - so they write it
_DEEPSEEK_TURN = "<｜Assistant｜>"  # noqa: RUF001
_KIMI_CALL = "<|tool_calls_section_begin|>"
_THINK = "<think>"
_THOUGHT = "</think>"
_MISTRAL = "(Mistral|Mixtral|Ministral).*"

FAMILIES = (
    Family("hermes", name=DEMO, summarises=False),
    Family("openai", "openai_gptoss", "GptOssForCausalLM"),
    # Kimi K2 has DeepSeek's architecture; R1's distilled models have Qwen's and Llama's.
    Family("kimi_k2", "kimi_k2", marks=(_KIMI_CALL, _THOUGHT)),
    Family("kimi_k2", marks=(_KIMI_CALL,)),
    Family("deepseek_v4", "deepseek_v4", "DeepseekV4.*"),
    Family("deepseek_v32", "deepseek_r1", "DeepseekV32.*"),
    Family("deepseek_v31", "deepseek_r1", "Deepseek.*", (_DEEPSEEK_CALL, "thinking")),
    Family("deepseek_v3", "deepseek_r1", "Deepseek.*", (_DEEPSEEK_CALL, _THOUGHT)),
    Family("deepseek_v3", "", "Deepseek.*", (_DEEPSEEK_CALL,)),
    Family("", "deepseek_r1", "(Qwen2|Llama).*", (_DEEPSEEK_TURN, _THOUGHT)),
    Family("glm45", "glm45", "Glm4Moe.*"),
    Family("qwen3_coder", "qwen3", "Qwen3.*", (_XML_CALL, _THINK)),
    Family("qwen3_coder", "", "Qwen3.*", (_XML_CALL,)),
    Family("hermes", "qwen3", "Qwen3.*", (_JSON_CALL, _THINK)),
    Family("hermes", "deepseek_r1", "Qwen2.*", (_JSON_CALL, _THINK)),
    Family("minimax_m2", "minimax_m2", "MiniMaxM2.*"),
    Family("seed_oss", "seed_oss", "SeedOss.*"),
    Family("step3", "step3", "Step3VL.*"),
    Family("ernie45", "ernie45", "Ernie4_5.*", (_THOUGHT,)),
    Family("hunyuan_a13b", "hunyuan_a13b", "HunYuanMoE.*"),
    Family("olmo3", "olmo3", "Olmo3.*"),
    Family("gemma4", "gemma4", "Gemma4.*"),
    Family("mistral", "mistral", _MISTRAL, ("[TOOL_CALLS]", "[THINK]")),
    Family("mistral", "", _MISTRAL, ("[TOOL_CALLS]",)),
    Family("llama4_pythonic", "", "Llama4.*"),
    Family("llama3_json", "", "Llama.*", ("<|start_header_id|>", "ipython")),
    Family("granite4", "", "GraniteMoeHybrid.*"),
    Family("granite", "", "Granite.*", ("<|tool_call|>",)),
    Family("phi4_mini_json", "", "Phi.*", ("<|tool|>",)),
    Family("internlm", "", "InternLM.*"),
    Family("jamba", "", "Jamba.*", ("<tool_calls>",)),
    # Qwen 2.5, Nous Hermes, and whoever writes calls as they do.
    Family("hermes", marks=(_JSON_CALL, "arguments")),
)
UNKNOWN = Family(summarises=False)


def family_of(traits: Traits) -> Family:
    return next((family for family in FAMILIES if family.fits(traits)), UNKNOWN)
