"""vLLM's own tool and reasoning parsers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from vllm.config import ModelConfig
from vllm.entrypoints.generate.base.protocol import DeltaMessage, DeltaToolCall
from vllm.entrypoints.openai.chat_completion.protocol import (
    ChatCompletionRequest,
    ChatCompletionToolsParam,
)
from vllm.parser import Parser, ParserManager
from vllm.sampling_params import SamplingParams
from vllm.tokenizers import TokenizerLike
from vllm.tool_parsers.abstract_tool_parser import Tool
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser
from vllm.tool_parsers.tool_strict_level import ToolStrictLevelName
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.engine.detokenizer import IncrementalDetokenizer

from services.inference.adapters.call_grammar import HeldTool, completed, held_tools
from services.inference.adapters.vllm_hermes import WholeStringsHermesParser
from services.inference.adapters.vllm_requests import HeldRequest, chat_request, refusals
from services.inference.adapters.written_grammars import ebnf_of_input, follows
from services.inference.api import CallDelta, Generation
from services.inference.models import CALL_OPENINGS
from services.inference.ports import HeldCalls, OutputReader, ReadOutput
from services.shared.tools import TextInput


class UnfitParser(Exception):
    """A parser is unknown to vLLM, or needs tokens that the model does not have."""


class VllmParsers:
    """The `Dialect` of one model; an empty parser name is none."""

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: TokenizerLike,
        *,
        tool_parser: str,
        reasoning_parser: str,
        tool_strict_level: ToolStrictLevelName,
        speculates: bool,
    ) -> None:
        self._config = config
        added = tokenizer.get_added_vocab() if tool_parser else {}
        self._openings = {text: id for text, id in added.items() if text in CALL_OPENINGS}
        self._speculates = speculates
        self._holds_all = tool_strict_level == "parameter"
        self._tokenizer = tokenizer
        self.defaults = config.get_diff_sampling_param()
        self._reasons = bool(reasoning_parser)
        try:
            self._parser = ParserManager.get_parser(
                tool_parser_name=tool_parser or None,
                reasoning_parser_name=reasoning_parser or None,
                enable_auto_tools=True,
                tool_strict_level=tool_strict_level,
                model_name=config.model,
                is_harmony=config.hf_config.model_type == "gpt_oss",
                tokenizer=tokenizer,
            )
        except TypeError as error:
            raise UnfitParser(str(error)) from error
        if self._parser is not None and self._parser.tool_parser_cls is Hermes2ProToolParser:
            self._parser.tool_parser_cls = WholeStringsHermesParser

    def request(self, generation: Generation) -> HeldRequest:
        request = chat_request(generation)
        if not request.tools or request.tool_choice == "none":
            self._forbid_calls(request)
        parser = self._made(request)
        if parser is None:
            return request
        tools = held_tools(generation.calling.tools, all_strict=self._holds_all)
        offered, request.tools = request.tools, _with_schemas(request.tools, tools)
        with refusals(generation):
            adjusted = parser.adjust_request(request)
        assert isinstance(adjusted, HeldRequest)
        adjusted.tools = offered
        adjusted.held = completed(adjusted, tools)
        return adjusted

    def held(self, request: HeldRequest) -> HeldCalls:
        return request.held

    def follows(self, text_input: TextInput, text: str) -> bool:
        ebnf = ebnf_of_input(text_input, "the grammar of a tool", "tools")
        return ebnf is None or follows(ebnf, text)

    def reader(
        self, request: ChatCompletionRequest, prompt_ids: Sequence[int]
    ) -> OutputReader | None:
        parser = self._made(request)
        if parser is None:
            return None
        may_call = request.tools and request.tool_choice != "none"
        openings = frozenset(self._openings.values() if may_call else ())
        reasoning = parser.reasoning_parser
        if reasoning is None or reasoning.engine_based_streaming:
            return _VllmReader(parser, request, prompt_ids, openings)
        params = SamplingParams(skip_special_tokens=request.skip_special_tokens)
        detokenizer = _detokenizer(self._tokenizer, prompt_ids, params)
        return _TokenwiseReader(parser, request, prompt_ids, openings, detokenizer)

    def decode(
        self, request: ChatCompletionRequest, prompt_ids: Sequence[int], ids: Sequence[int]
    ) -> str:
        params = self.sampling_params(request, max_tokens=max(len(ids), 1))
        params.update_from_generation_config(
            self._config.try_get_generation_config(), self._tokenizer.eos_token_id
        )
        detokenizer = _detokenizer(self._tokenizer, prompt_ids, params)
        for id in ids:
            ends = id in params.all_stop_token_ids
            if detokenizer.update([id], ends) is not None or ends:
                break
        return detokenizer.get_next_output_text(finished=True, delta=False)

    def sampling_params(self, request: ChatCompletionRequest, *, max_tokens: int) -> SamplingParams:
        """What was asked for, and the model's defaults for the rest."""
        return request.to_sampling_params(max_tokens, self.defaults)

    def _forbid_calls(self, request: ChatCompletionRequest) -> None:
        """A model that has learned to call would call what nobody offers: it must answer instead.

        vLLM takes no bias where it speculates. Its bad words cost more, a step for each request.
        """
        if self._speculates:
            request.bad_words = [*request.bad_words, *self._openings]
        elif self._openings:
            forbidden = {str(id): -100.0 for id in self._openings.values()}
            request.logit_bias = {**(request.logit_bias or {}), **forbidden}

    def _made(self, request: ChatCompletionRequest) -> Parser | None:
        """None where all output is text."""
        if self._parser is None or not (self._reasons or request.tools):
            return None
        tools: list[Tool] | None = [*request.tools] if request.tools else None
        return self._parser(self._tokenizer, tools, model_config=self._config)


class _VllmReader:
    """One choice's parser, as its output grows."""

    def __init__(
        self,
        parser: Parser,
        request: ChatCompletionRequest,
        prompt_ids: Sequence[int],
        openings: frozenset[int],
    ) -> None:
        self._parser = parser
        self._request = request
        self._prompt_ids = list(prompt_ids)
        self._openings = openings
        self._reasons = parser.reasoning_parser is not None
        self._ids: list[int] = []
        self._opened = False
        self._called = False

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> ReadOutput:
        if self._reasons:
            self._ids.extend(ids)
        self._opened = self._opened or not self._openings.isdisjoint(ids)
        grown = self._parsed(text, list(ids), finished=False)
        if not finished:
            return grown
        # The parser hears of the end alone, as from an engine that sends every token by itself. If
        # text came with it, vLLM would add to the last call what it takes for missing arguments.
        end = self._parsed("", [], finished=True)
        return replace(_joined([grown, end]), broken=self._begun_in_vain())

    def _begun_in_vain(self) -> bool:
        """Whether the model began a call of which the parser told nothing."""
        parser = self._parser.tool_parser
        told: Sequence[Mapping[str, object]] = parser.prev_tool_call_arr if parser else ()
        return (self._opened and not self._called) or not all("name" in call for call in told)

    def reasoning_tokens(self) -> int:
        return self._parser.count_reasoning_tokens(self._ids) if self._reasons else 0

    def _parsed(self, text: str, ids: list[int], *, finished: bool) -> ReadOutput:
        message = self._parser.parse_delta(
            text, ids, self._request, self._prompt_ids, finished=finished
        )
        return ReadOutput() if message is None else self._told_apart(message)

    def _told_apart(self, message: DeltaMessage) -> ReadOutput:
        calls = message.tool_calls
        if calls and not self._request.parallel_tool_calls:
            calls = [call for call in calls if call.index == 0]
        self._called = self._called or bool(calls)
        read = tuple(map(_call, calls)) if calls else ()
        return ReadOutput(message.content or "", message.reasoning or "", read)


class _TokenwiseReader(_VllmReader):
    """Hands the parser one token at a time.

    vLLM's older reasoning parsers know a marker only when its token comes alone. In an output of
    several tokens they would take `<think>` itself for a thought.
    """

    def __init__(
        self,
        parser: Parser,
        request: ChatCompletionRequest,
        prompt_ids: Sequence[int],
        openings: frozenset[int],
        detokenizer: IncrementalDetokenizer,
    ) -> None:
        super().__init__(parser, request, prompt_ids, openings)
        self._detokenizer = detokenizer

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> ReadOutput:
        tokens = list(self._tokens(text, ids))
        last = len(tokens) - 1
        parts = [
            super(_TokenwiseReader, self).read(piece, token, finished=finished and number == last)
            for number, (piece, token) in enumerate(tokens)
        ]
        return _joined(parts)

    def _tokens(self, text: str, ids: Sequence[int]) -> Iterator[tuple[str, Sequence[int]]]:
        """Each token with the text that it brought. The last has all that then remains of the text,
        also where the engine decoded it otherwise than here.
        """
        start = 0
        for id in ids[:-1]:
            end = start + len(self._decoded(id))
            yield text[start:end], [id]
            start = end
        if ids:
            self._decoded(ids[-1])
        yield text[start:], ids[-1:]

    def _decoded(self, id: int) -> str:
        self._detokenizer.update([id], stop_terminated=False)
        return self._detokenizer.get_next_output_text(finished=False, delta=True)


def _with_schemas(
    offered: Sequence[ChatCompletionToolsParam] | None, tools: Sequence[HeldTool]
) -> list[ChatCompletionToolsParam] | None:
    if offered is None:
        return None
    changed = []
    for each, tool in zip(offered, tools, strict=True):
        function = each.function.model_copy(update={"parameters": tool.schema})
        changed.append(each.model_copy(update={"function": function}))
    return changed


def _joined(parts: Sequence[ReadOutput]) -> ReadOutput:
    return ReadOutput(
        "".join(part.text for part in parts),
        "".join(part.reasoning for part in parts),
        tuple(call for part in parts for call in part.calls),
        broken=any(part.broken for part in parts),
    )


def _detokenizer(
    tokenizer: TokenizerLike, prompt_ids: Sequence[int], params: SamplingParams
) -> IncrementalDetokenizer:
    """vLLM's own. It can be made only of a whole request."""
    request = EngineCoreRequest(
        request_id="",
        prompt_token_ids=list(prompt_ids),
        mm_features=None,
        sampling_params=params,
        pooling_params=None,
        arrival_time=0,
        lora_request=None,
        cache_salt=None,
        data_parallel_rank=None,
    )
    return IncrementalDetokenizer.from_new_request(tokenizer, request)


def _call(call: DeltaToolCall) -> CallDelta:
    if call.function is None:
        return CallDelta(call.index)
    return CallDelta(call.index, call.function.name or "", _sound(call.function.arguments or ""))


def _sound(text: str) -> str:
    """Replaces halves of characters, which JSON's escapes can make and gRPC cannot carry."""
    return text if text.isascii() else text.encode(errors="replace").decode()
