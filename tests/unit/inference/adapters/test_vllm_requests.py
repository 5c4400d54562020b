"""A generation in vLLM's words, and vLLM's refusals in ours."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.inference.adapters import vllm_environment
from services.inference.api import (
    Calling,
    FormatKind,
    Generation,
    OutputFormat,
    Sampling,
    UnsupportedParameter,
)
from services.shared.conversation import Picture
from services.shared.tools import Tool, ToolChoice, ToolMode
from tests.fakes.vllm_dialect import needs_vllm

pytestmark = list(needs_vllm)
WEATHER = Tool("weather", "the weather", '{"type": "object", "properties": {"city": {}}}')
PLAIN = Generation("m", "gen_1", [1, 2], Sampling())
CANARY = "what the user wrote"
Made = Callable[[Generation], Any]


@pytest.fixture(scope="module")
def made() -> Made:
    vllm_environment.prepare()
    from services.inference.adapters.vllm_requests import chat_request  # noqa: PLC0415

    return chat_request


def test_what_is_not_said_is_left_to_the_model(made: Made) -> None:
    params = made(PLAIN).to_sampling_params(5, {"temperature": 0.3, "top_p": 0.9})
    assert (params.temperature, params.top_p, params.max_tokens) == (0.3, 0.9, 5)
    assert params.logprobs is None


def test_all_sampling_arrives(made: Made) -> None:
    sampling = Sampling(
        temperature=0.5,
        top_p=0.6,
        top_k=7,
        min_p=0.1,
        presence_penalty=0.2,
        frequency_penalty=-0.2,
        repetition_penalty=1.1,
        seed=42,
        stop=("a", "b"),
        n=2,
        top_logprobs=3,
        logit_bias={5: -100.0},
    )
    params = made(replace(PLAIN, sampling=sampling)).to_sampling_params(5, {})
    said = {name: getattr(params, name) for name in ("temperature", "top_p", "top_k", "min_p")}
    assert said == {"temperature": 0.5, "top_p": 0.6, "top_k": 7, "min_p": 0.1}
    assert (params.presence_penalty, params.frequency_penalty) == (0.2, -0.2)
    assert (params.repetition_penalty, params.seed, params.stop) == (1.1, 42, ["a", "b"])
    assert (params.n, params.logprobs, params.logit_bias) == (2, 3, {5: -100.0})


@pytest.mark.parametrize(
    ("output", "field", "value"),
    [
        (OutputFormat(FormatKind.JSON_OBJECT), "json_object", True),
        (OutputFormat(FormatKind.JSON_SCHEMA, '{"type": "array"}'), "json", {"type": "array"}),
        (OutputFormat(FormatKind.REGEX, "^$"), "grammar", 'root ::= ("")\n'),
        (OutputFormat(FormatKind.EBNF, 'root ::= "a"'), "grammar", 'root ::= (("a"))\n'),
        (OutputFormat(FormatKind.LARK, 'start: "::="'), "grammar", 'root ::= (("::="))\n'),
    ],
)
def test_every_format_arrives(made: Made, output: OutputFormat, field: str, value: object) -> None:
    params = made(replace(PLAIN, format=output)).to_sampling_params(5, {})
    assert getattr(params.structured_outputs, field) == value


@pytest.mark.parametrize("mode", ToolMode)
def test_every_choice_of_tools_arrives(made: Made, mode: ToolMode) -> None:
    calling = Calling((WEATHER,), ToolChoice(mode, "weather"), parallel=False)
    request = made(replace(PLAIN, calling=calling))
    (tool,) = request.tools
    assert tool.function.parameters == json.loads(WEATHER.parameters)
    assert tool.function.strict is None
    assert request.parallel_tool_calls is False
    choice = request.tool_choice
    assert (choice if isinstance(choice, str) else "named") == mode.value


def _items(levels: int) -> str:
    """A schema of lists in lists."""
    return '{"items": ' * levels + "{}" + "}" * levels


REFUSED: dict[str, tuple[str, Generation]] = {
    "hot": ("temperature", replace(PLAIN, sampling=Sampling(temperature=9))),
    "top_p": ("top_p", replace(PLAIN, sampling=Sampling(top_p=0))),
    "top_k": ("top_k", replace(PLAIN, sampling=Sampling(top_k=-9))),
    "min_p": ("min_p", replace(PLAIN, sampling=Sampling(min_p=2))),
    "presence": ("presence_penalty", replace(PLAIN, sampling=Sampling(presence_penalty=3))),
    "frequency": ("frequency_penalty", replace(PLAIN, sampling=Sampling(frequency_penalty=3))),
    "repetition": ("repetition_penalty", replace(PLAIN, sampling=Sampling(repetition_penalty=0))),
    "many": ("n", replace(PLAIN, sampling=Sampling(n=10**9))),
    "empty stop": ("stop", replace(PLAIN, sampling=Sampling(stop=("",)))),
    "no tokens": ("max_tokens", PLAIN),
    "no tools": (
        "tool_choice",
        replace(PLAIN, calling=Calling(choice=ToolChoice(ToolMode.REQUIRED))),
    ),
    "other tool": (
        "tool_choice",
        replace(PLAIN, calling=Calling((WEATHER,), ToolChoice(ToolMode.NAMED, CANARY))),
    ),
    "broken tool": (
        "tools",
        replace(PLAIN, calling=Calling((replace(WEATHER, parameters=CANARY),))),
    ),
    "broken schema": (
        "format",
        replace(PLAIN, format=OutputFormat(FormatKind.JSON_SCHEMA, CANARY)),
    ),
    "deep schema": (
        "format",
        replace(PLAIN, format=OutputFormat(FormatKind.JSON_SCHEMA, _items(120))),
    ),
    "deep tool": (
        "tools",
        replace(PLAIN, calling=Calling((replace(WEATHER, parameters=_items(120)),))),
    ),
    "one name for two": ("tools", replace(PLAIN, calling=Calling((WEATHER, WEATHER)))),
    "no object": (
        "tools",
        replace(PLAIN, calling=Calling((replace(WEATHER, parameters='{"enum": ["a"]}'),))),
    ),
    "strict, and no object": (
        "tools",
        replace(
            PLAIN,
            calling=Calling(
                (replace(WEATHER, parameters='{"type": ["object", "null"]}', strict=True),)
            ),
        ),
    ),
    "broken Lark": ("format", replace(PLAIN, format=OutputFormat(FormatKind.LARK, CANARY))),
    "endless schema": (
        "format",
        replace(PLAIN, format=OutputFormat(FormatKind.JSON_SCHEMA, "[" * 100_000)),
    ),
}


@pytest.mark.parametrize(("param", "generation"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_the_parameter_and_repeats_nothing(
    made: Made, param: str, generation: Generation
) -> None:
    from services.inference.adapters.vllm_requests import refusals  # noqa: PLC0415

    max_tokens = 0 if param == "max_tokens" else 5
    with pytest.raises(UnsupportedParameter) as caught, refusals(generation):
        made(generation).to_sampling_params(max_tokens, {})
    assert caught.value.details == {"param": param}
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


UNKEPT = {
    "uniqueItems": '{"properties": {"a": {"type": "array", "uniqueItems": true}}}',
    "not": '{"not": {"type": "array"}}',
    "$ref": '{"$ref": "#/$defs/n", "$defs": {"n": {"$ref": "#/$defs/n"}}}',
}


@pytest.mark.parametrize("keyword", UNKEPT)
def test_a_schema_that_cannot_be_kept_is_refused_by_field_and_keyword(
    made: Made, keyword: str
) -> None:
    tool = replace(WEATHER, parameters=UNKEPT[keyword])
    made(replace(PLAIN, calling=Calling((tool,))))
    strict = Calling((WEATHER, replace(tool, name="odd", strict=True)))
    wanted = OutputFormat(FormatKind.JSON_SCHEMA, UNKEPT[keyword])
    refused = {
        "tools": replace(PLAIN, calling=strict),
        "format": replace(PLAIN, format=wanted),
    }
    for param, generation in refused.items():
        with pytest.raises(UnsupportedParameter, match=re.escape(f"`{keyword}`")) as caught:
            made(generation)
        assert caught.value.details == {"param": param}


def test_as_many_stop_strings_arrive_as_the_gateway_takes(made: Made) -> None:
    stop = tuple(map(str, range(16)))
    assert made(replace(PLAIN, sampling=Sampling(stop=stop))).stop == [*stop]


@pytest.mark.parametrize(
    ("temperature", "usual", "equal"),
    [(0, {}, 3), (None, {"temperature": 0.0}, 3), (None, {}, 1), (0.5, {"temperature": 0.0}, 1)],
)
def test_choices_are_equal_where_nothing_is_left_to_chance(
    made: Made, temperature: float | None, usual: dict[str, float], equal: int
) -> None:
    from services.inference.adapters.vllm_requests import equal_choices  # noqa: PLC0415

    request = made(replace(PLAIN, sampling=Sampling(n=3, temperature=temperature)))
    assert equal_choices(request, usual) == equal


@pytest.mark.parametrize("parameter", ["image", None])
def test_refused_pictures_are_named(made: Made, parameter: str | None) -> None:
    from vllm.exceptions import VLLMValidationError  # noqa: PLC0415

    from services.inference.adapters.vllm_requests import refusals  # noqa: PLC0415

    seeing = replace(PLAIN, pictures=(Picture("image/png", b"1"),))
    with pytest.raises(UnsupportedParameter) as caught, refusals(seeing):
        raise VLLMValidationError(CANARY, parameter=parameter)
    assert caught.value.details == {"param": "pictures"}
    assert CANARY not in str(caught.value)
