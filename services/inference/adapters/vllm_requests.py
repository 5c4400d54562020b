"""A generation in the words of vLLM's own server, so that it means the same here as there."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.exceptions import VLLMClientError
from vllm.sampling_params import StructuredOutputsParams

from services.inference.adapters.call_grammar import NO_PARAMETERS
from services.inference.adapters.grammar_limits import unkept, with_patterns_read_rightly
from services.inference.adapters.schema_kinds import written_types
from services.inference.adapters.written_grammars import (
    MOST_CHARS,
    checked_ebnf,
    ebnf_of_lark,
    ebnf_of_regex,
)
from services.inference.api import (
    Calling,
    FormatKind,
    Generation,
    OutputFormat,
    Sampling,
    UnsupportedParameter,
)
from services.inference.ports import HeldCalls
from services.shared.nesting import too_deep
from services.shared.tools import Tool, ToolChoice, ToolMode

# By kind of format. Each gives the grammar in EBNF.
_WRITTEN = {
    FormatKind.REGEX: ebnf_of_regex,
    FormatKind.LARK: ebnf_of_lark,
    FormatKind.EBNF: checked_ebnf,
}
# What the engine accepts, in our words. Its own sentences may repeat what a user wrote.
_RULES = {
    "temperature": "must be between 0 and 2",
    "top_p": "must be above 0 and at most 1",
    "top_k": "must be 0 (off) or more",
    "min_p": "must be between 0 and 1",
    "presence_penalty": "must be between -2 and 2",
    "frequency_penalty": "must be between -2 and 2",
    "repetition_penalty": "must be above 0",
    "max_tokens": "must be at least 1",
    "n": "is too large",
    "stop": "must not contain an empty string",
    "logit_bias": "must name tokens of the model",
    "top_logprobs": "is more than the engine reports",
    "cache_salt": "is too long",
    "seed": "is not a 64-bit integer",
    "prompt_ids": "must be tokens of the model",
    "format": "cannot be made into a grammar",
    "tools": "must be functions with a JSON Schema each",
    "tool_choice": "must name one of the tools",
    "priority": "is not accepted by this engine",
    "pictures": "are more than the model takes at once",
}
# Our names for what vLLM calls otherwise. "Token" is the first word of its sentence on unknown ids.
_OURS = {
    "Token": "prompt_ids",
    "max_completion_tokens": "max_tokens",
    "logprobs": "top_logprobs",
    "response_format": "format",
    "structured_outputs": "format",
    "parallel_tool_calls": "tools",
    "prompt_token_ids": "prompt_ids",
    "image": "pictures",
}


class HeldRequest(ChatCompletionRequest):
    """A request that knows which calls the engine's grammar holds."""

    held: HeldCalls = HeldCalls()


def chat_request(generation: Generation) -> HeldRequest:
    """Raises `UnsupportedParameter`. It holds no prompt, which goes to the engine as ids."""
    with refusals(generation):
        return HeldRequest(
            messages=[],
            model=generation.model,
            request_id=generation.request_id,
            stream=True,
            priority=generation.priority,
            cache_salt=generation.cache_salt or None,
            **_sampling(generation.sampling),
            **_format(generation.format),
            **_calling(generation.calling),
        )


def equal_choices(request: ChatCompletionRequest, defaults: Mapping[str, Any]) -> int:
    """How many choices will say the same, because nothing is left to chance: all of them, or one.

    vLLM refuses to generate the same several times.
    """
    temperature = request.temperature
    if temperature is None:
        temperature = defaults.get("temperature", 1.0)
    return (request.n or 1) if temperature == 0 else 1


@contextmanager
def refusals(generation: Generation) -> Iterator[None]:
    """Turns what vLLM refuses into an `UnsupportedParameter` that names the parameter."""
    try:
        yield
    except ValidationError as error:
        where = error.errors(include_input=False, include_url=False)[0]["loc"]
        raise _refused(str(where[0]) if where else "", generation) from None
    except VLLMClientError as error:
        named = getattr(error, "parameter", None) or str(error).partition(" ")[0]
        raise _refused(named, generation) from None


def _refused(named: str, generation: Generation) -> UnsupportedParameter:
    param = named.partition(".")[0].strip("`")
    param = _OURS.get(param, param)
    if param not in _RULES:
        param = _likely(generation)
    if not param:
        return UnsupportedParameter("the engine does not accept this request")
    return UnsupportedParameter(f"{param} {_RULES[param]}", param=param)


def _likely(generation: Generation) -> str:
    """The parameter that vLLM has refused, where it names none: a schema, a tool or a picture."""
    if generation.format:
        return "format"
    if generation.calling.tools:
        return "tools"
    return "pictures" if generation.pictures else ""


def _sampling(sampling: Sampling) -> dict[str, Any]:
    return {
        "max_completion_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop),
        "n": sampling.n,
        "logprobs": sampling.top_logprobs is not None,
        "top_logprobs": sampling.top_logprobs or 0,
        "logit_bias": {str(id): bias for id, bias in sampling.logit_bias.items()} or None,
    }


def _format(output: OutputFormat | None) -> dict[str, Any]:
    if output is None:
        return {}
    if len(output.text) > MOST_CHARS:
        raise UnsupportedParameter(f"format has {len(output.text)} characters", param="format")
    if output.kind is FormatKind.JSON_OBJECT:
        return {"response_format": {"type": "json_object"}}
    if output.kind is FormatKind.JSON_SCHEMA:
        schema = _json_object(output.text, "format")
        _refuse_unkept(schema, "the schema", "format")
        wrapped = {"name": "output", "schema": with_patterns_read_rightly(schema)}
        return {"response_format": {"type": "json_schema", "json_schema": wrapped}}
    grammar = _WRITTEN[output.kind](output.text, "format", "format")
    return {"structured_outputs": StructuredOutputsParams(grammar=grammar)}


def _calling(calling: Calling) -> dict[str, Any]:
    if not calling.tools:
        if calling.choice.mode in {ToolMode.REQUIRED, ToolMode.NAMED}:
            raise UnsupportedParameter("tool_choice needs tools", param="tool_choice")
        return {}
    if len({tool.name for tool in calling.tools}) < len(calling.tools):
        raise UnsupportedParameter("tools must have names of their own", param="tools")
    return {
        "tools": list(map(_tool, calling.tools)),
        "tool_choice": _choice(calling.choice),
        "parallel_tool_calls": calling.parallel,
    }


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = _json_object(tool.parameters or NO_PARAMETERS, "tools")
    function: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": parameters,
    }
    if tool.strict:
        _refuse_unkept(parameters, "the schema of a strict function", "tools")
        function["strict"] = True
    _refuse_no_object(parameters, strict=tool.strict)
    return {"type": "function", "function": function}


def _refuse_no_object(parameters: dict[str, Any], *, strict: bool) -> None:
    types = written_types(parameters)
    if types and ("object" not in types or (strict and types != {"object"})):
        raise UnsupportedParameter(
            "the `type` of a function's schema must be object", param="tools"
        )


def _refuse_unkept(schema: dict[str, Any], whose: str, param: str) -> None:
    if found := unkept(schema):
        raise UnsupportedParameter(f"{whose} has {found}, which no grammar keeps", param=param)


def _choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.mode is ToolMode.NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    mode: str = choice.mode.value
    return mode


def _json_object(text: str, param: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnsupportedParameter(f"{param} must hold a JSON object", param=param)
    if too_deep(value):
        raise UnsupportedParameter(f"{param} is nested too deeply", param=param)
    return value
