"""Fields that both chat protocols have."""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field

from services.inference.api import FormatKind, OutputFormat
from services.shared.chat import Tool

# What a model without eyes or ears reads in the place of a picture, sound or file.
_UNREADABLE = "[{}: left out, this model reads text only]"


class Body(BaseModel):
    """A part of a request. Unknown fields are tolerated, as OpenAI does: clients send new ones."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def tagged(choose: Callable[[Any], str | None], expected: str) -> Discriminator:
    """Chooses a union's branch; the tags start with @, so that errors can leave them out."""
    return Discriminator(
        lambda value: f"@{choose(value)}",
        custom_error_type="wrong_kind",
        custom_error_message=f"must be {expected}",
    )


def member(name: str) -> Callable[[Any], str | None]:
    """What a value says of itself under `name`, whether it was parsed yet or not."""
    return lambda value: value.get(name) if isinstance(value, dict) else getattr(value, name, None)


class Part(Body):
    """A piece of a message's content; only text is read."""

    type: str
    text: str | None = None
    refusal: str | None = None

    @property
    def readable(self) -> str:
        if self.text is None and self.refusal is None:
            return _UNREADABLE.format(self.type.removeprefix("input_"))
        return self.text or self.refusal or ""


def joined(content: str | Sequence[Part] | None) -> str:
    """The text of a message's content."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.readable for part in content)


@lru_cache(maxsize=4096)
def _checked_schema(text: str) -> str:
    try:
        Draft202012Validator.check_schema(json.loads(text))
    except SchemaError as error:
        where = "".join(f"[{part!r}]" for part in error.path)
        raise ValueError(
            f"is not a JSON Schema: {error.validator} is violated at {where}"
        ) from None
    return text


def _schema_text(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):
        raise ValueError("holds what JSON cannot say, or is nested too deeply") from None
    _checked_schema(text)
    return schema


JsonSchema = Annotated[dict[str, Any], AfterValidator(_schema_text)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]


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


class SchemaFormat(Body):
    name: str | None = None
    schema_: JsonSchema = Field(alias="schema")
    strict: bool | None = None

    def output_format(self) -> OutputFormat:
        return OutputFormat(FormatKind.JSON_SCHEMA, json.dumps(self.schema_, ensure_ascii=False))
