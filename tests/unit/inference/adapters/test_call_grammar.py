"""Calls that the engine's grammar holds, in the markup of the model's parser."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from services.inference.api import (
    Calling,
    FormatKind,
    Generation,
    OutputFormat,
    Sampling,
    UnsupportedParameter,
)
from services.shared.tools import (
    TEXT_PARAMETERS,
    TextInput,
    TextSyntax,
    Tool,
    ToolChoice,
    ToolMode,
)
from tests.fakes.tiny_model import make_model
from tests.fakes.vllm_dialect import needs_vllm, vllm_dialect

if TYPE_CHECKING:
    from services.inference.adapters.vllm_parsers import VllmParsers

pytestmark = list(needs_vllm)
CITY = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
WEATHER = Tool("weather", "", CITY)
CLOCK = Tool("clock", "", "")
ANYTHING = Tool("anything", "", '{"type": "object"}')
UNKEPT = Tool("unkept", "", '{"type": "object", "not": {"required": ["a"]}}')
RUN = Tool("run", "", TEXT_PARAMETERS, text_input=TextInput())
COUNT = Tool("count", "", TEXT_PARAMETERS, text_input=TextInput(TextSyntax.REGEX, '"\\d+"'))
ALL = (WEATHER, CLOCK, ANYTHING, UNKEPT, RUN, COUNT)
Made = Callable[..., "VllmParsers"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    directory: Path = make_model(tmp_path_factory.mktemp("model"))

    def make(tool_parser: str = "hermes", level: Any = "parameter") -> "VllmParsers":
        return vllm_dialect(directory, tool_parser, tool_strict_level=level)

    return make


def asks(*tools: Tool, format: OutputFormat | None = None, **more: Any) -> Generation:
    return Generation("m", "g", [1], Sampling(), format, Calling(tools, **more))


def accepted(dialect: "VllmParsers", generation: Generation, text: str) -> bool:
    from xgrammar import Grammar  # noqa: PLC0415
    from xgrammar.testing import _is_grammar_accept_string  # noqa: PLC0415

    outputs = dialect.request(generation).structured_outputs
    assert outputs is not None
    grammar = Grammar.from_structural_tag(str(outputs.structural_tag))
    return bool(_is_grammar_accept_string(grammar, text))


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


EMPTY = '{"city": ""}'
RIGHT = [
    "It is sunny.",
    call("weather", '{"city": "a</tool_call>b \\" é"}'),
    f"Let me see.\n{call('weather', EMPTY)}\n{call('clock', '{}')}",
    call("anything", '{"a": [1]}'),
    call("unkept", '{"b": 1}'),
    call("run", '{"input": "ls -l\\n"}'),
    call("count", '{"input": "\\"12\\""}'),
]
WRONG = [
    call("weather", "{}"),
    call("weather", '{"city": 7}'),
    call("weather", '{"city": "a", "city": "b"}'),
    call("weather", '{"city": "a"'),
    call("weather", ""),
    call("clock", '{"a": 1}'),
    call("anything", "7"),
    call("run", '{"input": 1}'),
    call("count", '{"input": "\\"x\\""}'),
    call("count", '{"input": ""1""}'),
]
# No call of a tool on offer opens here; what is read of it is looked at when it ends.
FREE = [call("other", "{}"), "<tool_call>weather", call("weather_of", "7"), "<tool_call>{7"]


def test_text_is_free_and_once_a_call_opens_its_arguments_follow_the_schema(made: Made) -> None:
    asked = asks(*ALL)
    assert [text for text in RIGHT if not accepted(made(), asked, text)] == []
    assert [text for text in WRONG if accepted(made(), asked, text)] == []


def test_nobody_who_wants_another_tool_has_to_call_one_on_offer(made: Made) -> None:
    asked, must = asks(*ALL), asks(*ALL, choice=ToolChoice(ToolMode.REQUIRED))
    assert [text for text in FREE if not accepted(made(), asked, text)] == []
    assert [text for text in FREE if accepted(made(), must, text)] == []


def test_held_calls_are_known_by_how_they_begin(made: Made) -> None:
    dialect = made()
    held = dialect.held(dialect.request(asks(WEATHER, CLOCK)))
    assert [call(name, "{}").startswith(held.openings) for name in ("clock", "other")] == [
        *(True, False),
    ]
    must = asks(WEATHER, CLOCK, choice=ToolChoice(ToolMode.REQUIRED))
    assert dialect.held(dialect.request(must)).openings == ()


def test_what_else_has_to_be_looked_at_is_not_among_those_that_are_held(made: Made) -> None:
    dialect = made()
    assert dialect.held(dialect.request(asks(*ALL))).names == {
        *("weather", "clock", "run", "count"),
    }


@pytest.mark.parametrize(
    "parameters",
    [
        '{"type": ["object", "null"], "properties": {}}',
        '{"anyOf": [{"type": "null"}, {"type": "object", "properties": {}}]}',
        '{"description": "anything"}',
    ],
)
def test_arguments_are_an_object_whatever_else_the_schema_allows(
    made: Made, parameters: str
) -> None:
    asked = asks(Tool("f", "", parameters))
    assert accepted(made(), asked, call("f", "{}"))
    assert not accepted(made(), asked, call("f", "null"))
    assert made().held(made().request(asked)).names == frozenset()


def test_a_pattern_holds_where_a_part_of_it_may_be_left_out(made: Made) -> None:
    """xgrammar would read `(-[0-9]+)?` otherwise."""
    code = {"type": "string", "pattern": "^[A-Z]{2}(-[0-9]+)?$"}
    schema = {"type": "object", "properties": {"c": code}, "required": ["c"]}
    asked = asks(Tool("f", "", json.dumps(schema)))
    said = [call("f", json.dumps({"c": each})) for each in ("DE", "DE-12", "DE12")]
    assert [accepted(made(), asked, each) for each in said] == [True, True, False]


@pytest.mark.parametrize(("level", "held"), [("auto", {"a"}), ("function", {"a"})])
def test_of_functions_that_are_not_strict_the_arguments_are_free_where_one_wants_it(
    made: Made, level: str, held: set[str]
) -> None:
    dialect = made(level=level)
    strict = replace(WEATHER, name="a", strict=True)
    asked = asks(strict, WEATHER)
    assert dialect.held(dialect.request(asked)).names == held
    assert accepted(dialect, asked, call("weather", '{"city": 7}'))
    assert not accepted(dialect, asked, call("a", '{"city": 7}'))
    alone = dialect.request(asks(WEATHER))
    assert (alone.structured_outputs is None) is (level == "auto")
    assert not dialect.held(alone).names


def test_the_functions_that_the_parser_reads_by_stay_as_they_were(made: Made) -> None:
    request = made().request(asks(UNKEPT))
    assert request.tools is not None
    assert request.tools[0].function.parameters == json.loads(UNKEPT.parameters)


def test_one_call_at_most_where_calls_may_not_be_parallel(made: Made) -> None:
    one, two = call("clock", "{}"), call("clock", "{}") * 2
    alone = asks(CLOCK, parallel=False)
    assert [accepted(made(), alone, text) for text in (one, two)] == [True, False]
    assert accepted(made(), asks(CLOCK), two)


def test_a_call_or_the_format(made: Made) -> None:
    schema = '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'
    either = asks(WEATHER, format=OutputFormat(FormatKind.JSON_SCHEMA, schema))
    texts = ['{"n": 1}', call("weather", '{"city": "a"}'), '{"n": "a"}', "It is sunny."]
    assert [accepted(made(), either, text) for text in texts] == [True, True, False, False]


@pytest.mark.parametrize("written", [TextSyntax.REGEX, TextSyntax.LARK])
def test_a_texts_grammar_that_cannot_be_read_is_refused(made: Made, written: TextSyntax) -> None:
    broken = replace(COUNT, text_input=TextInput(written, "("))
    with pytest.raises(UnsupportedParameter, match="grammar of tool 2") as caught:
        made().request(asks(WEATHER, broken))
    assert caught.value.details == {"param": "tools"}


def test_a_text_is_looked_at_where_its_grammar_has_no_place(made: Made) -> None:
    """Calls of this dialect are no JSON."""
    dialect = made("qwen3_coder")
    assert dialect.held(dialect.request(asks(WEATHER, COUNT))).names == {"weather"}
    assert dialect.follows(TextInput(TextSyntax.REGEX, "a+"), "aa")
    assert not dialect.follows(TextInput(TextSyntax.REGEX, "a+"), "ab")
    assert dialect.follows(TextInput(), "ab")


def test_nothing_is_held_where_the_parser_has_no_tags(made: Made) -> None:
    dialect = made("pythonic")
    assert not dialect.held(dialect.request(asks(WEATHER))).names


def test_a_schema_without_end_is_too_long_to_be_held(made: Made) -> None:
    from services.inference.adapters.call_grammar import _kept_schema  # noqa: PLC0415

    names = {f"n{n}": {"type": "string"} for n in range(1000)}
    long = Tool("long", "", json.dumps({"type": "object", "properties": names}))
    dialect = made()
    dialect.request(asks(WEATHER))
    before = _kept_schema.cache_info().currsize
    assert dialect.held(dialect.request(asks(long, WEATHER))).names == {"weather"}
    assert _kept_schema.cache_info().currsize == before, "callers fill the memory"


@pytest.mark.parametrize("parameters", ['{"type": "string"}', '{"type": ["array", "null"]}'])
def test_arguments_must_be_able_to_be_an_object(made: Made, parameters: str) -> None:
    with pytest.raises(UnsupportedParameter, match="object"):
        made().request(asks(replace(WEATHER, parameters=parameters)))


def test_a_call_that_may_not_be_made_cannot_be_begun(made: Made) -> None:
    never = asks(WEATHER, choice=ToolChoice(ToolMode.NONE))
    assert made().request(never).logit_bias == made().request(asks()).logit_bias
    assert made().request(never).logit_bias
