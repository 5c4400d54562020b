"""Calls that the engine's grammar holds: which they are, and what vLLM's structural tags lack.

vLLM makes a structural tag of the tools on offer, in the markup of the model's parser: text is
free, and once a call of a tool on offer opens, its arguments follow the schema.

The name that a model writes stays free too, where it need not call. A model that wants a tool which
is not on offer would else be made to call another one, which is on offer.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from xgrammar import Grammar

from services.inference.adapters.grammar_limits import (
    free_names,
    unkept,
    with_patterns_read_rightly,
)
from services.inference.adapters.schema_kinds import written_types
from services.inference.adapters.written_grammars import ebnf_of_input, in_json
from services.inference.ports import HeldCalls
from services.shared.tools import TEXT_PARAMETERS, TextInput, Tool

# Of blanks in a row a grammar takes so many. A small model may write blanks until its window ends.
_MOST_BLANKS = 1
# Of one function's schema, and of all before it together. A grammar of more takes the engine long.
_MOST_CHARS = 16_384
_MOST_CHARS_OF_ALL = 131_072
_ANY_OBJECT = {"type": "object"}
NO_PARAMETERS = '{"type": "object", "properties": {}}'
# Marks the schema in whose place a text's grammar shall stand.
_MARK = "$comment"
_MARKED = "the text of tool "


@dataclass(frozen=True, slots=True)
class HeldTool:
    """One tool as a grammar can hold it."""

    name: str
    # For vLLM to make a grammar of.
    schema: dict[str, Any]
    # Whether a call that follows the grammar needs no further look.
    whole: bool
    # Of its text, where it takes one: EBNF.
    grammar: str | None = None


def held_tools(tools: Sequence[Tool], *, all_strict: bool) -> Sequence[HeldTool]:
    """Each tool as far as a grammar can hold it; the arguments of others are any object.

    Raises `UnsupportedParameter` for a text's grammar that cannot be read.
    """
    held, chars = [], 0
    for number, tool in enumerate(tools):
        chars += len(tool.parameters)
        if tool.text_input is not None:
            held.append(_text_tool(number, tool, tool.text_input))
        elif tool.strict or (all_strict and chars <= _MOST_CHARS_OF_ALL):
            held.append(_function(tool))
        else:
            held.append(HeldTool(tool.name, _ANY_OBJECT, whole=False))
    return held


def _text_tool(number: int, tool: Tool, text_input: TextInput) -> HeldTool:
    grammar = ebnf_of_input(text_input, f"the grammar of tool {number + 1}", "tools")
    schema = json.loads(TEXT_PARAMETERS) | ({_MARK: f"{_MARKED}{number}"} if grammar else {})
    return HeldTool(tool.name, schema, whole=True, grammar=grammar)


def _function(tool: Tool) -> HeldTool:
    # What is longer is not remembered either: callers decide how long it is.
    known = len(tool.parameters) <= _MOST_CHARS
    schema, whole = _kept_schema(tool.parameters) if known else (None, False)
    if schema is None:
        return HeldTool(tool.name, _ANY_OBJECT, whole=False)
    return HeldTool(tool.name, json.loads(schema), whole=whole)


@lru_cache(maxsize=512)
def _kept_schema(parameters: str) -> tuple[str | None, bool]:
    """The schema, if a grammar keeps it, and whether the grammar is all that is needed."""
    schema = json.loads(parameters or NO_PARAMETERS)
    if unkept(schema) or written_types(schema) != {"object"}:
        return None, False
    schema = with_patterns_read_rightly(schema)
    try:
        Grammar.from_json_schema(schema)
    except RuntimeError:
        return None, False
    return json.dumps(schema), not free_names(schema)


def completed(request: ChatCompletionRequest, tools: Sequence[HeldTool]) -> HeldCalls:
    """Puts the texts' grammars into the structural tag that vLLM made, and bounds its blanks.

    The calls which the tag holds to the last character; without a tag, none.
    """
    outputs = request.structured_outputs
    if outputs is None or outputs.structural_tag is None:
        return HeldCalls()
    marked = {tool.schema[_MARK]: tool for tool in tools if tool.grammar}
    tag = json.loads(outputs.structural_tag)
    openings = [opening for each in _of_type(tag, "triggered_tags") for opening in _freed(each)]
    schema_formats = list(_of_type(tag, "json_schema"))
    placed = {_complete(schema_format, marked) for schema_format in schema_formats}
    outputs.structural_tag = json.dumps(tag)
    names = (
        tool.name for tool in tools if tool.whole and (tool.grammar is None or tool.name in placed)
    )
    return HeldCalls(frozenset(names), tuple(openings))


def _freed(triggered: dict[str, Any]) -> Sequence[str]:
    """Lets the grammar hold a call from where its whole opening is written, name and all."""
    openings = [tag["begin"] for tag in triggered["tags"]]
    if triggered["at_least_one"] or not all(isinstance(each, str) for each in openings):
        return ()
    triggered["triggers"] = openings
    return openings


def _complete(schema_format: dict[str, Any], marked: dict[str, HeldTool]) -> str | None:
    """The name of the tool whose text's grammar now has its place."""
    if schema_format.get("style") != "json":
        return None
    schema = schema_format["json_schema"]
    mark = schema.get(_MARK) if isinstance(schema, dict) else None
    tool = marked.get(mark) if isinstance(mark, str) else None
    if tool is None or tool.grammar is None:
        schema_format["max_whitespace_cnt"] = _MOST_BLANKS
        return None
    schema_format.clear()
    schema_format.update(type="grammar", grammar=in_json(tool.grammar, "input"))
    return tool.name


def _of_type(tag: Any, kind: str) -> Iterator[dict[str, Any]]:
    """The parts of a structural tag of one type. What stands in schemas is the caller's."""
    if isinstance(tag, dict) and tag.get("type") == kind:
        yield tag
    elif isinstance(tag, dict | list) and not _is_schema(tag):
        for inner in tag.values() if isinstance(tag, dict) else tag:
            yield from _of_type(inner, kind)


def _is_schema(tag: dict[str, Any] | list[Any]) -> bool:
    return isinstance(tag, dict) and tag.get("type") == "json_schema"
