"""What goes over the wire comes out as it went in."""

from string import printable
from typing import Any

import pytest
from chatmesh.conversation.v1 import conversation_pb2 as conversation_pb
from chatmesh.inference.v1 import inference_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from services.inference import codec
from services.inference.api import (
    CallDelta,
    Calling,
    Delta,
    FinishReason,
    FormatKind,
    Generation,
    Load,
    ModelCard,
    OutputFormat,
    Parsed,
    ParsedCall,
    Piece,
    Report,
    Sampling,
    TokenLogprob,
    Usage,
)
from services.shared.conversation import Picture
from services.shared.errors import Malformed
from services.shared.tools import TextInput, TextSyntax, Tool, ToolChoice, ToolMode

text = st.text(printable + "é🌞\0", max_size=8)
count = st.integers(0, 2**31)
ids = st.lists(st.integers(0, 2**32 - 1), max_size=5)
# Exact in the wire's single precision.
number = st.integers(-16, 16).map(lambda n: n / 8)


def optional(values: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.none() | values


samplings = st.builds(
    Sampling,
    max_tokens=optional(count),
    temperature=optional(number),
    top_p=optional(number),
    top_k=optional(st.integers(-1, 99)),
    min_p=optional(number),
    presence_penalty=optional(number),
    frequency_penalty=optional(number),
    repetition_penalty=optional(number),
    seed=optional(st.integers(-(2**63), 2**63 - 1)),
    stop=st.lists(text, max_size=3).map(tuple),
    n=st.integers(1, 9),
    top_logprobs=optional(st.integers(0, 20)),
    logit_bias=st.dictionaries(count, number, max_size=3),
)
formats = st.builds(
    OutputFormat,
    st.sampled_from([kind for kind in FormatKind if kind is not FormatKind.JSON_OBJECT]),
    text,
) | st.just(OutputFormat(FormatKind.JSON_OBJECT))
inputs = st.just(TextInput()) | st.builds(
    TextInput, st.sampled_from([TextSyntax.REGEX, TextSyntax.LARK]), text
)
tools = st.lists(
    st.builds(Tool, text, text, text, st.booleans(), text_input=optional(inputs)), max_size=2
).map(tuple)
callings = st.builds(
    Calling, tools, st.builds(ToolChoice, st.sampled_from(ToolMode), text), st.booleans()
)
pictures = st.builds(Picture, text, st.binary(min_size=1, max_size=8), detail=text)
generations = st.builds(
    Generation,
    text,
    text,
    ids,
    samplings,
    optional(formats),
    callings,
    st.integers(-9, 9),
    text,
    st.lists(pictures, max_size=2).map(tuple),
)
bare_logprobs = st.builds(TokenLogprob, count, text, number)
logprobs = st.builds(
    TokenLogprob, count, text, number, st.lists(bare_logprobs, max_size=2).map(tuple)
)
deltas = st.builds(
    Delta,
    index=st.integers(0, 9),
    ids=ids,
    text=text,
    reasoning=text,
    calls=st.lists(st.builds(CallDelta, st.integers(0, 9), text, text), max_size=2).map(tuple),
    logprobs=st.lists(logprobs, max_size=2).map(tuple),
    finish_reason=optional(st.sampled_from(FinishReason)),
)
pieces = st.builds(
    Piece,
    st.lists(deltas, max_size=3).map(tuple),
    optional(st.builds(Usage, count, count, count, count)),
)
parseds = st.builds(
    Parsed, text, text, st.lists(st.builds(ParsedCall, text, text), max_size=2).map(tuple)
)
cards = st.builds(
    ModelCard, text, count, st.booleans(), st.booleans(), st.booleans(), count, st.booleans()
)
reports = st.builds(
    Report,
    st.lists(cards, max_size=2).map(tuple),
    st.builds(Load, count, count, count, count, number, st.booleans()),
)


@given(generations)
def test_generations(generation: Generation) -> None:
    wire = codec.generation_out(generation).SerializeToString()
    assert codec.generation_in(pb.GenerateRequest.FromString(wire)) == generation


@given(pieces)
def test_pieces(piece: Piece) -> None:
    wire = codec.piece_out(piece).SerializeToString()
    assert codec.piece_in(pb.GenerateResponse.FromString(wire)) == piece


@given(text, ids, ids, callings, st.lists(text, max_size=2).map(tuple))
def test_what_is_to_be_parsed(
    model: str, prompt: list[int], output: list[int], calling: Calling, stop: tuple[str, ...]
) -> None:
    asked = (model, prompt, output, calling, stop)
    wire = codec.parse_out(*asked).SerializeToString()
    assert codec.parse_in(pb.ParseRequest.FromString(wire)) == asked


@given(parseds)
def test_what_was_parsed(parsed: Parsed) -> None:
    wire = codec.parsed_out(parsed).SerializeToString()
    assert codec.parsed_in(pb.ParseResponse.FromString(wire)) == parsed


@given(reports)
def test_reports(report: Report) -> None:
    wire = codec.report_out(report).SerializeToString()
    assert codec.report_in(pb.WatchLoadResponse.FromString(wire)) == report


def test_what_a_caller_leaves_out_is_the_default() -> None:
    generation = codec.generation_in(pb.GenerateRequest(model="m"))
    assert generation == Generation("m", "", [], Sampling())


def test_a_format_of_an_unknown_kind_is_malformed() -> None:
    with pytest.raises(Malformed) as caught:
        codec.generation_in(pb.GenerateRequest(format=pb.OutputFormat()))
    assert caught.value.details == {"param": "format"}


@pytest.mark.parametrize("empty", [{}, {"url": "https://x/y.png"}, {"file_id": "file_1"}])
def test_a_picture_without_its_content_is_malformed(empty: dict[str, str]) -> None:
    request = pb.GenerateRequest(pictures=[conversation_pb.Picture(content=b"1")])
    request.pictures.add(media_type="image/png", **empty)
    with pytest.raises(Malformed) as caught:
        codec.generation_in(request)
    assert caught.value.details == {"param": "pictures"}


def test_a_finish_reason_of_a_newer_server_is_malformed() -> None:
    delta = pb.Delta(finish_reason=99)  # type: ignore[arg-type]
    with pytest.raises(Malformed):
        codec.piece_in(pb.GenerateResponse(deltas=[delta]))
