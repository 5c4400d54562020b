"""vLLM's parsers: reading a finished output gives what its stream gave, however it was cut."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from services.inference.api import (
    CallDelta,
    Calling,
    Generation,
    Sampling,
    UnsupportedParameter,
)
from services.inference.ports import ReadOutput
from services.shared.tools import Tool, ToolChoice, ToolMode
from tests.fakes.tiny_model import END, make_model
from tests.fakes.vllm_dialect import needs_vllm, vllm_dialect

if TYPE_CHECKING:
    from services.inference.adapters.vllm_parsers import VllmParsers

pytestmark = list(needs_vllm)
_PROPERTY = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
WEATHER = Tool("weather", "the weather", SCHEMA)
PLAIN = Generation("m", "gen_1", [], Sampling())
CALLING = replace(PLAIN, calling=Calling((WEATHER,)))

words = st.sampled_from(["the weather", " is ", "sunny 🌞", "\n", "<", "tool", "{}", "Ó", "a < b"])
prose = st.lists(words, max_size=5).map("".join)
arguments = st.dictionaries(words, words | st.integers() | st.lists(words, max_size=2), max_size=3)
calls = arguments.map(
    lambda given: (
        f'<tool_call>\n{{"name": "weather", "arguments": {json.dumps(given)}}}\n</tool_call>'
    )
)
garbage = prose.filter(lambda text: "{" not in text).map("<tool_call>{}</tool_call>".format)
outputs = st.builds(
    lambda text, made, cut: (text + "\n".join(made))[: cut or None],
    prose,
    st.lists(calls | garbage, max_size=3),
    st.integers(0, 120),
)
thoughts = prose.map("<think>{}</think>".format) | prose.map("{}</think>".format) | st.just("")
thought_out = st.builds("{}{}".format, thoughts, outputs)
cuts = st.lists(st.integers(1, 40), min_size=1, max_size=30)


class Model:
    """A dialect, and a tokenizer that was not given to it."""

    def __init__(self, directory: Path, tool_parser: str, reasoning_parser: str) -> None:
        self.dialect: VllmParsers = vllm_dialect(directory, tool_parser, reasoning_parser)
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def streamed(self, generation: Generation, output: str, cut: Sequence[int]) -> ReadOutput:
        """As the engine would have given it, in outputs of so many tokens."""
        request = self.dialect.request(generation)
        reader = self.dialect.reader(request, generation.prompt_ids)
        stream = DecodeStream(skip_special_tokens=request.skip_special_tokens)
        pieces = list(_cut(self.ids(output), cut))
        parts = []
        for number, ids in enumerate(pieces):
            text = "".join(stream.step(self._tokenizer, id) or "" for id in ids)
            finished = number == len(pieces) - 1
            parts.append(reader.read(text, ids, finished=finished) if reader else ReadOutput(text))
        return _joined(parts)

    def parsed(self, generation: Generation, output: str) -> ReadOutput:
        request = self.dialect.request(generation)
        ids = self.ids(output)
        text = self.dialect.decode(request, generation.prompt_ids, ids)
        reader = self.dialect.reader(request, generation.prompt_ids)
        return _joined([reader.read(text, ids, finished=True) if reader else ReadOutput(text)])


def _cut(ids: Sequence[int], sizes: Sequence[int]) -> Iterator[Sequence[int]]:
    start, number = 0, 0
    while start < len(ids):
        size = sizes[number % len(sizes)]
        yield ids[start : start + size]
        start, number = start + size, number + 1


def _joined(parts: Sequence[ReadOutput]) -> ReadOutput:
    calls: dict[int, CallDelta] = {}
    for call in (call for part in parts for call in part.calls):
        before = calls.get(call.index, CallDelta(call.index))
        calls[call.index] = CallDelta(
            call.index, before.name + call.name, before.arguments + call.arguments
        )
    return ReadOutput(
        "".join(part.text for part in parts),
        "".join(part.reasoning for part in parts),
        tuple(calls.values()),
    )


Made = Callable[..., Model]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory = make_model(tmp_path_factory.mktemp("model"))

    def make(tool_parser: str = "", reasoning_parser: str = "") -> Model:
        return Model(directory, tool_parser, reasoning_parser)

    return make


@pytest.mark.parametrize("generation", [PLAIN, CALLING], ids=["plain", "with tools"])
@given(output=outputs, cut=cuts)
@_PROPERTY
def test_calls_are_read_whole_as_they_were_streamed(
    made: Made, generation: Generation, output: str, cut: list[int]
) -> None:
    model = made("hermes")
    assert model.streamed(generation, output, cut) == model.parsed(generation, output)


@pytest.mark.parametrize("reasoning_parser", ["qwen3", "deepseek_r1"])
@pytest.mark.parametrize("generation", [PLAIN, CALLING], ids=["plain", "with tools"])
@given(output=thought_out, cut=cuts)
@_PROPERTY
def test_reasoning_is_read_whole_as_it_was_streamed(
    made: Made, reasoning_parser: str, generation: Generation, output: str, cut: list[int]
) -> None:
    model = made("hermes", reasoning_parser)
    assert model.streamed(generation, output, cut) == model.parsed(generation, output)


def test_a_thought_is_told_from_the_answer_and_the_call(made: Made) -> None:
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    read = made("hermes", "qwen3").parsed(CALLING, f"<think>sunny</think>Let me see.\n{call}")
    assert read.reasoning == "sunny"
    assert read.text.strip() == "Let me see."
    assert read.calls == (CallDelta(0, "weather", '{"city": "Rome"}'),)


def test_a_prompt_that_closed_the_thought_leaves_only_an_answer(made: Made) -> None:
    model = made("hermes", "qwen3")
    asked = replace(PLAIN, prompt_ids=model.ids("<think></think>"))
    assert model.parsed(asked, "It is sunny.") == ReadOutput("It is sunny.")


def test_the_tokens_of_a_thought_are_counted(made: Made) -> None:
    model = made("hermes", "qwen3")
    reader = model.dialect.reader(model.dialect.request(PLAIN), [])
    assert reader is not None
    ids = model.ids("<think>sunny and warm</think>It is.")
    reader.read("<think>sunny and warm</think>It is.", ids, finished=True)
    assert reader.reasoning_tokens() == len(model.ids("sunny and warm"))


def test_one_call_at_most_where_calls_may_not_be_parallel(made: Made) -> None:
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    alone = replace(PLAIN, calling=Calling((WEATHER,), parallel=False))
    assert len(made("hermes").parsed(CALLING, call * 2).calls) == 2
    assert len(made("hermes").parsed(alone, call * 2).calls) == 1


def test_half_a_character_in_a_call_is_replaced(made: Made) -> None:
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "\ufffd"}}\n</tool_call>'
    (read,) = made("hermes").parsed(CALLING, call).calls
    read.arguments.encode()


def test_nothing_reads_where_there_is_nothing_to_read(made: Made) -> None:
    dialect = made("hermes").dialect
    assert dialect.reader(dialect.request(PLAIN), []) is None
    assert dialect.reader(dialect.request(CALLING), []) is not None


@pytest.mark.parametrize(("output", "shown"), [(f"It is{END}", "It is"), ("It is sunny", "It is ")])
def test_the_end_and_what_follows_a_stop_string_are_not_text(
    made: Made, output: str, shown: str
) -> None:
    asked = replace(PLAIN, sampling=Sampling(stop=("sunny",)))
    assert made().parsed(asked, output).text == shown


@pytest.mark.parametrize("mode", [ToolMode.REQUIRED, ToolMode.NAMED])
def test_a_call_that_must_be_made_is_a_grammar_for_the_engine(made: Made, mode: ToolMode) -> None:
    choice = ToolChoice(mode, "weather")
    request = made("hermes").dialect.request(replace(PLAIN, calling=Calling((WEATHER,), choice)))
    assert request.structured_outputs is not None
    assert "weather" in str(request.structured_outputs.structural_tag)


def test_blanks_in_the_arguments_of_a_call_are_bounded(made: Made) -> None:
    from xgrammar import Grammar  # noqa: PLC0415
    from xgrammar.testing import _is_grammar_accept_string  # noqa: PLC0415

    kept = replace(WEATHER, strict=True)
    asked = replace(PLAIN, calling=Calling((kept,), ToolChoice(ToolMode.REQUIRED)))
    outputs = made("hermes").dialect.request(asked).structured_outputs
    assert outputs is not None
    grammar = Grammar.from_structural_tag(str(outputs.structural_tag))
    said = '<tool_call>\n{"name": "weather", "arguments": {"city":%s"Oslo"}}\n</tool_call>'
    allowed = [_is_grammar_accept_string(grammar, said % blanks) for blanks in ("", " ", "\n\n")]
    assert allowed == [True, True, False]


def test_special_tokens_are_shown_to_the_parser_only(made: Made) -> None:
    dialect = made("hermes").dialect
    assert dialect.request(PLAIN).skip_special_tokens
    assert not dialect.request(CALLING).skip_special_tokens


def test_a_parser_that_the_model_is_not_made_for_is_told_at_the_start(made: Made) -> None:
    from services.inference.adapters.vllm_parsers import UnfitParser  # noqa: PLC0415

    with pytest.raises(UnfitParser, match="no_such_parser"):
        made("no_such_parser")
    with pytest.raises(UnfitParser, match="mistral"):
        made("mistral")


def test_what_vllm_refuses_is_refused(made: Made) -> None:
    broken: Any = replace(CALLING, calling=Calling((replace(WEATHER, parameters="[]"),)))
    with pytest.raises(UnsupportedParameter):
        made("hermes").dialect.request(broken)


def test_where_no_tool_is_offered_the_model_cannot_begin_a_call(made: Made, tmp_path: Path) -> None:
    model = made("hermes")
    (opening,) = model.ids("<tool_call>")
    biased = replace(PLAIN, sampling=Sampling(logit_bias={5: 1.0}))
    forbidding = model.dialect.request(biased)
    assert forbidding.logit_bias == {"5": 1.0, str(opening): -100.0}
    assert model.dialect.sampling_params(forbidding, max_tokens=5).logit_bias == {
        5: 1.0,
        opening: -100.0,
    }
    assert not model.dialect.request(CALLING).logit_bias
    assert not made().dialect.request(PLAIN).logit_bias
    speculating = vllm_dialect(make_model(tmp_path), speculates=True).request(PLAIN)
    assert (speculating.bad_words, speculating.logit_bias) == (["<tool_call>"], None)
