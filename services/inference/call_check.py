"""Whether what a model wrote is a call: JSON that follows the schema of a function on offer."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import regex
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from services.inference.api import Calling
from services.shared.tools import Tool, ToolMode

# What checking one call may take. Beyond, it counts as none: a schema can make a check endless.
_SECONDS = 0.5
Clock = Callable[[], float]
Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class CallCheck:
    """Knows the functions that a model may call. A `$ref` to the outside allows anything."""

    def __init__(self, calling: Calling, clock: Clock) -> None:
        chosen = calling.choice.name if calling.choice.mode is ToolMode.NAMED else None
        self._clock = clock
        self._tools = {tool.name: tool for tool in calling.tools if chosen in (None, tool.name)}

    def tool(self, name: str) -> Tool | None:
        """None: it is not on offer."""
        return self._tools.get(name)

    def holds(self, tool: Tool, arguments: str) -> bool:
        """Whether the arguments are one JSON object, no name in it twice, that has the schema."""
        try:
            read = _object(arguments)
            _Checked(json.loads(tool.parameters or "{}"), self._clock).check(read)
        except (ValueError, ArithmeticError, RecursionError, ValidationError, _TooLong):
            return False
        except Unresolvable:
            # It leads to nothing within the schema. All else was checked as far as there.
            return True
        return True


class _TooLong(Exception):
    """The check takes too long."""


class _Checked:
    """A check that ends, whatever the schema says."""

    def __init__(self, schema: Mapping[str, Any], clock: Clock) -> None:
        self._clock = clock
        self._end = clock() + _SECONDS
        keywords = {name: self._timed(check) for name, check in _KEYWORDS.items()}
        patterns = {"pattern": self._pattern, "patternProperties": self._pattern_properties}
        kind: Any = extend(Draft202012Validator, {**keywords, **patterns})  # type: ignore[no-untyped-call]
        self._validator = kind(schema, registry=_NOTHING_OUTSIDE)

    def check(self, value: object) -> None:
        for error in self._validator.iter_errors(value):
            raise error

    def _timed(self, check: Keyword) -> Keyword:
        def timed(*args: Any) -> Iterator[ValidationError] | None:
            self._seconds_left()
            return check(*args)

        return timed

    def _seconds_left(self) -> float:
        left = self._end - self._clock()
        if left <= 0:
            raise _TooLong
        return left

    def _pattern(self, _: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
        if isinstance(value, str) and not self._found(pattern, value):
            yield ValidationError("the pattern does not match")

    def _pattern_properties(
        self, validator: Any, patterns: Mapping[str, Any], value: Any, _: Any
    ) -> Iterator[ValidationError]:
        if not isinstance(value, dict):
            return
        for pattern, schema in patterns.items():
            for name in value:
                if self._found(pattern, name):
                    yield from validator.descend(value[name], schema, path=name)

    def _found(self, pattern: str, text: str) -> bool:
        """Python's own reader of patterns can take for ever, and cannot be stopped."""
        try:
            return regex.search(pattern, text, timeout=self._seconds_left()) is not None
        except TimeoutError:
            raise _TooLong from None
        except regex.error:
            # No pattern of this reader's. Other readers know more.
            return True


def _additional(validator: Any, schema: Any, value: Any, whole: Any) -> Iterator[ValidationError]:
    """As jsonschema's own, which reads `patternProperties` with Python's patterns."""
    if not isinstance(value, dict):
        return
    patterns = whole.get("patternProperties", {})
    search = validator.VALIDATORS["pattern"]
    for name in value.keys() - whole.get("properties", {}).keys():
        if all([*search(validator, pattern, name, whole)] for pattern in patterns):
            yield from validator.descend(value[name], schema, path=name)


def _leave_open(*_: Any) -> Iterator[ValidationError]:
    """`unevaluatedProperties` looks for names by Python's patterns, too."""
    yield from ()


_KEYWORDS: Mapping[str, Keyword] = {
    **Draft202012Validator.VALIDATORS,
    "additionalProperties": _additional,
    "unevaluatedProperties": _leave_open,
}
_ANYTHING = DRAFT202012.create_resource({})
_NOTHING_OUTSIDE: Registry[Any] = Registry(retrieve=lambda _: _ANYTHING)  # type: ignore[call-arg]


def _object(text: str) -> dict[str, Any]:
    value = json.loads(
        text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
    )
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - said of a text, not of an argument's type
    return value


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name comes twice")
    return names


def _no_number(_: str) -> Any:
    raise ValueError("no number of JSON's")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("too large")
    return number
