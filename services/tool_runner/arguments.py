"""Reads the arguments of a call: a model's JSON text, which must fit the tool's schema."""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from pydantic_core import from_json
from referencing import Registry

from services.tool_runner.api import Failure
from services.tool_runner.ports import Arguments, ToolFailed

_KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class ArgumentReader:
    """Reads the arguments of calls of one tool.

    It refuses an argument that the schema does not name, because a misspelt one would be ignored.
    """

    def __init__(self, schema: Mapping[str, Any], *, max_chars: int) -> None:
        # An empty registry: the default one would fetch what a `$ref` points to.
        self._validator = Draft202012Validator(
            {"additionalProperties": False} | dict(schema), registry=Registry()
        )
        self._names: Sequence[str] = tuple(schema.get("properties", ()))
        self._max_chars = max_chars

    def read(self, text: str) -> Arguments:
        if len(text) > self._max_chars:
            raise _refused(f"the arguments are longer than {self._max_chars} characters")
        # Models write nothing for a tool that needs nothing.
        arguments = _parsed(text or "{}")
        if not isinstance(arguments, dict):
            raise _refused("the arguments must be a JSON object")
        error = best_match(self._validator.iter_errors(arguments))
        if error is not None:
            raise _refused(self._said(error, arguments))
        return arguments

    def _said(self, error: ValidationError, arguments: Arguments) -> str:
        """A sentence that says what is wrong, with the name of the argument."""
        wanted: Any = error.validator_value
        if error.absolute_path:
            name = error.json_path.removeprefix("$.")
            if error.validator == "type" and isinstance(wanted, str):
                return f'the argument "{name}" must be {_KINDS[wanted]}'
            return f'the argument "{name}" does not fit the tool\'s schema'
        if error.validator == "required":
            missing = [name for name in wanted if name not in arguments]
            return f'the argument "{missing[0]}" is missing'
        if error.validator == "additionalProperties":
            unknown = [name for name in arguments if name not in self._names]
            known = ", ".join(f'"{name}"' for name in self._names) or "none"
            return f'there is no argument "{unknown[0]}"; known are: {known}'
        return "the arguments do not fit the tool's schema"


def _parsed(text: str) -> Any:
    """Strict: no NaN, no lone surrogates, no bottomless nesting."""
    try:
        return from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):
        raise _refused("the arguments are not valid JSON") from None


def _refused(sentence: str) -> ToolFailed:
    return ToolFailed(Failure.INVALID_ARGUMENTS, sentence)
