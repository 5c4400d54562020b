"""What the bodies of all protocols have in common; `parts.py` has what stands in a message."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
)

from services.gateway.http.schemas import CallerSchema
from services.inference.api import FormatKind, OutputFormat
from services.shared.tools import Tool


class Body(BaseModel):
    """A piece of a request. Unknown fields are tolerated, as OpenAI does: clients send new ones.

    A value of another type is not: "5" is no number, and 1 is not true.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


def not_yet(value: Any) -> Any:
    """Refuses a field that would change the answer and that is not here yet."""
    if value is not None and value is not False:
        raise ValueError("is not supported yet: leave it out")
    return value


def tagged(choose: Callable[[Any], str | None], expected: str) -> Discriminator:
    """Chooses a union's branch; the tags start with @, so that errors can leave them out."""
    return Discriminator(
        lambda value: f"@{choose(value)}",
        custom_error_type="wrong_kind",
        custom_error_message=f"must be {expected}",
    )


def member(name: str) -> Callable[[Any], Any]:
    """What a value has under `name`, whether it was parsed already or not."""
    return lambda value: value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def one_given(*names: str) -> dict[str, Any]:
    """For the document: at least one of the fields is given."""
    given = {"not": {"enum": [None, ""]}}
    return {"anyOf": [{"properties": {name: given}, "required": [name]} for name in names]}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# `SchemaChecks` looks into it before the turn begins.
JsonSchema = Annotated[dict[str, Any], AfterValidator(CallerSchema)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
# More than any model's window or vocabulary, and what the services between here and there carry.
MOST_TOKENS = 2**31 - 1
# 5.0 is a whole number too, as JSON Schema has it. This stands behind the bounds: before them the
# document would not show them.
AsWhole = BeforeValidator(_whole)
TokenCount = Annotated[int, Field(ge=1, le=MOST_TOKENS), AsWhole]
CallCount = Annotated[int, Field(ge=0, le=MOST_TOKENS), AsWhole]
LikeliestTokens = Annotated[int, Field(ge=0, le=20), AsWhole]
# What inference takes, in characters.
MOST_GRAMMAR = 65_536
Effort = Annotated[str, Field(max_length=32)]
# The person behind the request, as the application knows them; `user` is its older name.
SafetyIdentifier = Annotated[str, Field(max_length=256)]


_LONGEST_KEY, _LONGEST_VALUE = 64, 512


def _few(metadata: dict[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise ValueError("has a key over 64 or a value over 512 characters")
    return metadata


# What an application keeps with one of its objects.
Metadata = Annotated[
    dict[str, str],
    Field(
        max_length=16,
        json_schema_extra={
            "propertyNames": {"maxLength": _LONGEST_KEY},
            "additionalProperties": {"type": "string", "maxLength": _LONGEST_VALUE},
        },
    ),
    AfterValidator(_few),
]


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
    definition: Annotated[str, Field(min_length=1, max_length=MOST_GRAMMAR)]

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
