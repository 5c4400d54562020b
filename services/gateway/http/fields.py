"""What bodies have in common, beside `values.py`; `parts.py` has what stands in a message."""

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, Tag

from services.gateway.values import Body, Grammar, JsonSchema, Name, member, tagged
from services.inference.api import FormatKind, OutputFormat
from services.shared.tools import Tool


def not_yet(value: Any) -> Any:
    """Refuses a field that would change the answer and that is not here yet."""
    if value is not None and value is not False:
        raise ValueError("is not supported yet: leave it out")
    return value


def one_given(*names: str) -> dict[str, Any]:
    """For the document: at least one of the fields is given."""
    given = {"not": {"enum": [None, ""]}}
    return {"anyOf": [{"properties": {name: given}, "required": [name]} for name in names]}


Effort = Annotated[str, Field(max_length=32)]


class Function(Body):
    """A function as a caller describes it."""

    name: Name
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None

    def tool(self) -> Tool:
        parameters = self.parameters or {"type": "object", "properties": {}}
        text = json.dumps(parameters, ensure_ascii=False)
        return Tool(self.name, self.description or "", text, strict=bool(self.strict))


class PlainFormat(Body):
    type: Literal["text", "json_object"]

    def output_format(self) -> OutputFormat | None:
        return OutputFormat(FormatKind.JSON_OBJECT) if self.type == "json_object" else None


class SchemaFormat(Body):
    name: str | None = None
    schema_: JsonSchema = Field(alias="schema")
    strict: bool | None = None

    def output_format(self) -> OutputFormat:
        return OutputFormat(FormatKind.JSON_SCHEMA, json.dumps(self.schema_, ensure_ascii=False))


class GrammarFormat(Body):
    """A text that follows a grammar: as custom tools have it, and EBNF as llama.cpp writes it."""

    type: Literal["grammar"]
    syntax: Literal["ebnf", "lark", "regex"]
    definition: Grammar

    def output_format(self) -> OutputFormat:
        kinds = {"ebnf": FormatKind.EBNF, "lark": FormatKind.LARK, "regex": FormatKind.REGEX}
        return OutputFormat(kinds[self.syntax], self.definition)


# The format that follows a schema; where the schema stands, each protocol says.
Following = TypeVar("Following", bound=Body)
FormatField = Annotated[
    Annotated[PlainFormat, Tag("@plain")]
    | Annotated[Following, Tag("@json_schema")]
    | Annotated[GrammarFormat, Tag("@grammar")],
    tagged(
        lambda value: (
            kind if (kind := member("type")(value)) in ("json_schema", "grammar") else "plain"
        ),
        "a format whose `type` is text, json_object, json_schema or grammar",
    ),
]


def template_options(options: dict[str, Any], effort: str | None) -> dict[str, str]:
    """Variables of the chat template as JSON text, the wanted effort of reasoning among them."""
    if effort:
        options = {"reasoning_effort": effort, **options}
    return {name: json.dumps(value) for name, value in options.items()}
