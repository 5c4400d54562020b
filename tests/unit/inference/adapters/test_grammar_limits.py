"""Which schemas a grammar keeps, and that xgrammar indeed does or does not."""

import json
import time
from typing import Any

import pytest

from services.inference.adapters.grammar_limits import (
    free_names,
    unkept,
    with_patterns_read_rightly,
)
from tests.fakes.vllm_dialect import needs_vllm

Schema = dict[str, Any]
STRING, NUMBER = {"type": "string"}, {"type": "integer"}
PAIR = {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}}
NODE = {"$ref": "#/$defs/node"}


def only(x: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"x": x},
        "required": ["x"],
        "additionalProperties": False,
    }


def node(schema: Schema, **more: object) -> Schema:
    return {**NODE, "$defs": {"node": schema, **more}}


# The keyword, the schema, and a value that breaks it and that xgrammar lets through.
PASSED_OVER: list[tuple[str, Schema, object]] = [
    ("allOf", {"allOf": [NUMBER, {"type": "integer", "minimum": 3}]}, "no"),
    ("not", {"not": {"type": "array"}}, []),
    ("if", {**PAIR, "if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}),
    ("dependentRequired", {**PAIR, "dependentRequired": {"a": ["b"]}}, {"a": 1}),
    ("dependentSchemas", {**PAIR, "dependentSchemas": {"a": False}}, {"a": 1}),
    ("uniqueItems", {"type": "array", "items": NUMBER, "uniqueItems": True}, [1, 1]),
    ("contains", {"type": "array", "items": NUMBER, "contains": STRING}, [1]),
    ("multipleOf", {"type": "number", "multipleOf": 2}, 3),
    ("$ref", {"$ref": "https://example.com/schema.json"}, 3),
    ("$ref", {"$ref": "#anchor", "$defs": {"a": {"$anchor": "anchor", **STRING}}}, 3),
    ("minLength", {"minLength": 3}, "a"),
    ("required", {"required": ["a"]}, {}),
    ("required", {"type": "object", "required": ["a"]}, {}),
    ("required", {**PAIR, "required": ["a", "c"]}, {"a": 1}),
    ("oneOf", {"oneOf": [NUMBER, {"type": "number", "minimum": 3}]}, 3),
    ("oneOf", {"oneOf": [only(STRING), {**PAIR, "required": ["a"]}]}, {"x": "a"}),
    ("oneOf", {"oneOf": [NODE, {"type": "string"}], "$defs": {"node": STRING}}, "a"),
    ("minimum", node(NUMBER) | {"minimum": 3}, 1),
    ("properties", {"properties": {"a": STRING}, "anyOf": [{"type": "object"}]}, {"a": 1}),
    ("oneOf", {"anyOf": [STRING, NUMBER], "oneOf": [NUMBER]}, "a"),
    ("maxLength", {"type": "string", "pattern": "a+", "maxLength": 2}, "aaa"),
    ("enum", {"type": "string", "enum": ["a", 5, None]}, 5),
    ("enum", {"type": "integer", "enum": [1, 20], "minimum": 10}, 1),
    ("const", {"type": "integer", "const": "a"}, "a"),
    ("const", {"type": "integer", "const": True}, True),
    ("pattern", {"const": "a", "pattern": "^b$"}, "a"),
    ("items", {"items": NUMBER, "enum": [["a"]]}, ["a"]),
    ("type", {"type": "string", "anyOf": [NUMBER, STRING]}, 5),
    ("type", {"type": "string", "anyOf": [{}, STRING]}, 5),
    ("type", {"type": "string", "oneOf": [NUMBER]}, 5),
    ("type", {"type": "integer", "allOf": [{"type": "number"}]}, 1.5),
    ("type", {**node(NUMBER), "type": "string"}, 5),
    ("type", {**node({"anyOf": [STRING, {"$ref": "#/$defs/n"}]}, n=NUMBER), "type": "string"}, 5),
    ("pattern", {"type": "string", "pattern": "a$b"}, "ab"),
    ("pattern", {"type": "string", "pattern": "(a)^b"}, "ab"),
    ("pattern", {"type": "string", "pattern": "^(?=a)b$"}, "b"),
    ("pattern", {"type": ["string", "null"], "pattern": "^(?!a).*$"}, "a"),
    ("pattern", {"type": "string", "pattern": r"\Aa"}, "Aa"),
    ("patternProperties", {"type": "object", "patternProperties": {"^(?!a)": STRING}}, {"": "b"}),
    ("$ref", {"$ref": "#/$defs//a", "$defs": {"a": STRING, "": {"a": NUMBER}}}, "a"),
]
BROKEN: list[tuple[str, Schema]] = [
    *((keyword, schema) for keyword, schema, _ in PASSED_OVER),
    *(("pattern", {"type": "string", "pattern": each}) for each in ('a"', r"[\\]", r"\n", r"\x22")),
    ("$ref", {"$ref": "#/$defs/nope"}),
    ("$ref", {"$ref": 7}),
    ("$ref", node(NODE)),
    ("$ref", node({"$ref": "#/$defs/b"}, b=NODE)),
    ("$ref", node({"anyOf": [NODE, STRING]})),
    ("$ref", {"allOf": [{"$ref": "#"}]}),
    ("$ref", node(only(NODE))),
    ("$ref", node({"type": "array", "items": NODE, "minItems": 1})),
    ("format", {"type": ["string", "null"], "format": "colour"}),
    ("patternProperties", {**only(STRING), "patternProperties": {"^a": STRING}}),
    ("propertyNames", {**only(STRING), "propertyNames": {"type": "string"}}),
    ("enum", {"const": 1, "enum": [1]}),
    ("const", {"const": 1, "type": 7}),
    ("const", {"const": "a", "minLength": "b"}),
    *(("pattern", {"type": "string", "pattern": each}) for each in (r"(a)\1", r"a\B", "(?i)a")),
]
# A schema, a value that keeps to it, and one that does not.
KEPT: list[tuple[Schema, object, object]] = [
    ({"allOf": [NUMBER], "title": "one", "default": 3}, 5, "a"),
    (only({"anyOf": [STRING, {"type": "null"}], "default": None}), {"x": None}, {"x": 1}),
    ({"oneOf": [NODE, NUMBER], "$defs": {"node": STRING}}, "a", []),
    ({"oneOf": [{"enum": ["a", 1]}, {"const": "b"}, {"type": "null"}]}, "b", "c"),
    ({"oneOf": [only({"const": "a"}), only({"const": "b"})]}, {"x": "b"}, {"x": "c"}),
    ({"type": "string", "pattern": r'^[^"\n]+$'}, "a", 'a"'),
    ({"type": "integer", "minimum": 3, "exclusiveMaximum": 12}, 11, 12),
    ({"type": ["string", "null"], "minLength": 2, "maxLength": 3}, "abc", "a"),
    ({"type": "string", "enum": ["a", "b"]}, "b", "c"),
    ({"type": "array", "items": NUMBER, "minItems": 2}, [1, 2], [1]),
    ({"properties": {"not": NUMBER, "allOf": NUMBER}, "required": ["not"]}, {"not": 1}, {}),
    ({"type": "string", "$defs": {"unused": {"not": {}}}}, "a", 1),
    (node({"anyOf": [only(NODE), {"type": "null"}]}), {"x": {"x": None}}, {"x": {"x": 1}}),
    (node({"type": "array", "items": NODE}), [[], [[]]], [1]),
    (only({"anyOf": [{"$ref": "#"}, STRING]}), {"x": {"x": "a"}}, {"x": {"x": 1}}),
    ({"type": ["string", "null"], "enum": ["a", None]}, None, "b"),
    ({"type": "number", "enum": [1, 2.5], "maximum": 3}, 2.5, 3),
    ({"type": "string", "enum": ["a", "bc"], "minLength": 1}, "bc", ""),
    ({"type": "object", "anyOf": [only(NUMBER), {"properties": {"y": STRING}}]}, {"x": 1}, 5),
    ({**node(only(STRING)), "type": ["object", "null"]}, {"x": "a"}, None),
    ({"type": "string", "pattern": "^$|^https?$"}, "https", "x"),
    ({"type": "string", "pattern": "(^a$)|(^b$)"}, "b", "ab"),
    ({"type": "string", "pattern": r"^[A-Z]{2}(-[0-9]+)?$"}, "DE-12", "DE12"),
    ({"type": "string", "pattern": r"^[a-z]+(b[0-9]{1,3})??$"}, "a", "a1"),
    (
        {"type": "object", "patternProperties": {"^a(-1+)?$": STRING}, "minProperties": 1},
        {"a-1": "b"},
        {"a1": "b"},
    ),
]


@pytest.mark.parametrize(("keyword", "schema"), BROKEN)
def test_what_no_grammar_keeps_is_told_by_its_keyword(keyword: str, schema: Schema) -> None:
    for whole in (schema, {"$defs": {}, **schema}):
        assert f"`{keyword}`" in (unkept(whole) or "nothing")


@pytest.mark.parametrize(
    "schema", [*(schema for schema, _, _ in KEPT), {"const": {"not": 1, "$ref": "#"}}]
)
def test_what_a_grammar_keeps_may_be_asked_for(schema: Schema) -> None:
    assert unkept(schema) is None


@pytest.mark.parametrize(
    ("schema", "free"),
    [
        ({}, True),
        ({"type": "object"}, True),
        (only({}), True),
        (only({"type": ["object", "null"]}), True),
        ({**PAIR, "additionalProperties": NUMBER}, True),
        ({"anyOf": [NUMBER, {"type": "array", "items": {"type": "object"}}]}, True),
        (node({"type": "object"}), True),
        (PAIR, False),
        (only({"const": {"a": 1}}), False),
        ({"type": "object", "properties": {}}, False),
        ({"type": "object", "additionalProperties": False}, False),
        ({"type": "array", "items": NUMBER}, False),
    ],
)
def test_names_that_a_schema_does_not_name_may_be_free(schema: Schema, free: bool) -> None:
    assert free_names(schema) is free


@needs_vllm[0]
def test_xgrammar_lets_free_names_come_twice_and_others_not() -> None:
    from xgrammar import Grammar  # noqa: PLC0415
    from xgrammar.testing import _is_grammar_accept_string  # noqa: PLC0415

    def accepted(schema: Schema, text: str) -> bool:
        grammar = Grammar.from_json_schema(json.dumps(schema), any_whitespace=False)
        return bool(_is_grammar_accept_string(grammar, text))

    assert accepted({"type": "object"}, '{"a": 1, "a": 2}')
    assert not accepted(PAIR, '{"a": 1, "a": 2}')


TIMES = [
    ("^[a-z]{1,1000}$", True),
    (r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?Z$", True),
    ("(a{1,30}b){1,30}", True),
    ("[{2000}]", True),
    (r"\{9000}", True),
    ("[a-z]{2,5000}", False),
    ("(a{1,9000}b){1,9000}", False),
    ("(a{1,120}b){1,120}", False),
    ("((((a{20}){20}){20}){20}){20}", False),
    (f"a{{{'9' * 5000}}}", False),
    ("(a{3000,})", False),
]


@pytest.mark.parametrize(("pattern", "kept"), TIMES, ids=[pattern[:30] for pattern, _ in TIMES])
def test_what_a_pattern_repeats_is_bounded(pattern: str, kept: bool) -> None:
    """A grammar is made while the service does nothing else."""
    schemas: list[Schema] = [
        {"type": "string", "pattern": pattern},
        {"type": "object", "patternProperties": {pattern: STRING}},
    ]
    for schema in schemas:
        assert (unkept(schema) != "`pattern` with too many repetitions") is kept
    fields = {f"p{n}": {"type": "string", "pattern": "^.{1,100}$"} for n in range(150)}
    assert unkept({"type": "object", "properties": fields}) is None


def of_refs(count: int) -> Schema:
    """Two schemas whose properties are schemas of the same kind, and so on without end."""
    names = [f"p{n}" for n in range(count)]
    nodes = {
        name: {"type": "object", "properties": dict.fromkeys(names, to), "required": names}
        for name, to in (("a", {"$ref": "#/$defs/a"}), ("b", {"$ref": "#/$defs/b"}))
    }
    return {"oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": nodes}


def of_other_names(number: int) -> Schema:
    return {"type": "object", "properties": {f"p{number}": {}}, "required": [f"p{number}"]}


@pytest.mark.parametrize(
    "schema", [of_refs(20), {"oneOf": [of_other_names(number) for number in range(1000)]}]
)
def test_schemas_are_not_compared_without_end(schema: Schema) -> None:
    """The service can do nothing else meanwhile."""
    began = time.process_time()
    assert "`oneOf`" in (unkept(schema) or "")
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "choices",
    [
        [{"const": number, "title": "a"} for number in range(3000)],
        [{**only({"const": number}), "title": "a"} for number in range(1000)],
        [{"type": "null"}, {"enum": ["a"]}, *({"const": number} for number in range(1000))],
    ],
)
def test_as_many_schemas_as_one_likes_may_be_told_apart_by_one_value(choices: list[Schema]) -> None:
    assert unkept({"oneOf": choices}) is None
    assert "`oneOf`" in (unkept({"oneOf": [*choices, choices[-1]]}) or "")


@pytest.mark.parametrize(
    "keyword", ["properties", "anyOf", "oneOf", "type", "required", "format", "$ref"]
)
@pytest.mark.parametrize("value", [7, "a", None, [7], [[]], {"a": 7}, True])
def test_what_is_no_schema_breaks_nothing(keyword: str, value: object) -> None:
    unkept({"type": "string", keyword: value})
    unkept({keyword: value, "minItems": 1})


def _lets_through(schema: Schema, value: object) -> bool:
    from xgrammar import Grammar  # noqa: PLC0415
    from xgrammar.testing import _is_grammar_accept_string  # noqa: PLC0415

    written = with_patterns_read_rightly(json.loads(json.dumps(schema)))
    grammar = Grammar.from_json_schema(json.dumps(written), any_whitespace=False)
    accepted: bool = _is_grammar_accept_string(grammar, json.dumps(value))
    return accepted


@pytest.mark.parametrize(("keyword", "schema", "wrong"), PASSED_OVER)
@needs_vllm[0]
def test_what_is_refused_is_what_xgrammar_passes_over(
    keyword: str, schema: Schema, wrong: object
) -> None:
    assert _lets_through(schema, wrong), keyword


@pytest.mark.parametrize(("schema", "right", "wrong"), KEPT)
@needs_vllm[0]
def test_what_is_not_refused_is_kept(schema: Schema, right: object, wrong: object) -> None:
    assert _lets_through(schema, right)
    assert not _lets_through(schema, wrong)
