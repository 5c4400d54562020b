"""The JSON schemas of a body: checked beside the event loop, and each only once."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cachetools import LRUCache
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel

from services.shared.errors import Malformed

# What the schemas of a request may be together, in bytes of JSON. Checking so much takes more than
# half a second of a core; all tools of a coding agent are a tenth of it.
_MOST_BYTES = 256 * 1024
# So many digests of schemas are kept, of 16 bytes each: less than a megabyte with all around them.
_KEPT_DIGESTS = 4096
# In these fields stands what was said, which may be long, and no schema.
_CONVERSATION = {"messages", "input"}
_LONGEST_PLACE = 200
_NO_FORMATS = FormatChecker(())


# Raises `SchemaError`.
CheckSchema = Callable[[Any], None]


def check_schema(schema: Any) -> None:
    """Raises `SchemaError`.

    Patterns are not looked at: clients write them for JavaScript, which reads what Python does not.
    """
    Draft202012Validator.check_schema(schema, format_checker=_NO_FORMATS)


class CallerSchema(dict[str, Any]):
    """A schema as a caller wrote it, not yet checked."""


class SchemaChecks:
    """Remembers which schemas are good, by their digests alone."""

    def __init__(self, check: CheckSchema = check_schema) -> None:
        self._check = check
        self._good: LRUCache[bytes, bool] = LRUCache(_KEPT_DIGESTS)

    async def check(self, body: BaseModel) -> None:
        """Raises `Malformed`, with the name of the field.

        The thread that checks cannot be stopped, but it ends after the schema at which it is when
        its caller has left.
        """
        fresh = {}
        for field, text in _texts(body):
            digest = hashlib.blake2b(text, digest_size=16).digest()
            if digest not in self._good:
                fresh[digest] = (field, text)
        if not fresh:
            return
        left = threading.Event()
        try:
            await asyncio.to_thread(self._check_all, list(fresh.values()), left)
        finally:
            left.set()
        for digest in fresh:
            self._good[digest] = True

    def _check_all(self, schemas: Sequence[tuple[str, bytes]], left: threading.Event) -> None:
        for field, text in schemas:
            if left.is_set():
                return
            with _named(field):
                self._check(json.loads(text))


def _texts(body: BaseModel) -> Iterator[tuple[str, bytes]]:
    """The schemas of the body with the names of their fields. Raises `Malformed`."""
    size = 0
    for name, value in _members(body):
        for field, schema in () if name in _CONVERSATION else _schemas(name, value):
            text = _text(field, schema)
            size += len(text)
            if size > _MOST_BYTES:
                raise _refused(
                    field, f"with all schemas before it has more than {_MOST_BYTES} bytes"
                )
            yield field, text


def _schemas(field: str, value: object) -> Iterator[tuple[str, CallerSchema]]:
    if isinstance(value, CallerSchema):
        yield field, value
    elif isinstance(value, BaseModel):
        for name, inner in _members(value):
            yield from _schemas(f"{field}.{name}", inner)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _schemas(f"{field}.{name}", inner)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for number, inner in enumerate(value):
            yield from _schemas(f"{field}[{number}]", inner)


def _members(model: BaseModel) -> Iterator[tuple[str, object]]:
    """A model's fields by the names that callers write."""
    for name, field in type(model).model_fields.items():
        yield field.alias or name, getattr(model, name)


def _text(field: str, schema: CallerSchema) -> bytes:
    try:
        return json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise _refused(field, "holds what JSON cannot say, or is nested too deeply") from None


@contextmanager
def _named(field: str) -> Iterator[None]:
    """What is wrong within is told with the field's name."""
    try:
        yield
    except SchemaError as error:
        where = "".join(f"[{part!r}]" for part in error.path)[:_LONGEST_PLACE]
        said = f"is not a JSON Schema: {error.validator} is violated at {where}"
        raise _refused(field, said) from None
    except RecursionError:
        raise _refused(field, "is nested too deeply") from None


def _refused(field: str, said: str) -> Malformed:
    return Malformed(f"{field}: {said}", param=field, code="invalid_value")
