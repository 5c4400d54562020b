"""What of JSON Schema xgrammar, vLLM's maker of grammars, does not keep.

xgrammar passes over these keywords without a word, or fails in the engine, where nobody can be told
why. So a schema that must be kept is looked through before the engine sees it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import UnknownType

from services.inference.adapters.pattern_limits import read_rightly, repetitions, unkept_in
from services.inference.adapters.schema_kinds import (
    ANYTHING,
    LIST_SIGNS,
    OBJECT_SIGNS,
    Kinds,
    Schema,
    named_values,
    target,
    types_of,
)

_NEVER_KEPT = (
    *("not", "if", "dependentRequired", "dependentSchemas", "dependencies", "multipleOf"),
    *("contains", "minContains", "maxContains", "$dynamicRef", "$recursiveRef"),
)
_STRINGS = ("minLength", "maxLength", "pattern")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LISTS = (*LIST_SIGNS, "minItems", "maxItems")
_OBJECTS = (
    *(*OBJECT_SIGNS, "required"),
    *("minProperties", "maxProperties", "patternProperties", "propertyNames"),
)
_BOUNDS = (*_STRINGS, *_NUMBERS, *_LISTS, *_OBJECTS)
_CHOICES = ("anyOf", "oneOf", "allOf")
# Of these xgrammar keeps one, and nothing that stands beside it.
_ALONE = ("$ref", *_CHOICES)
_FORMATS = (
    *("email", "date", "time", "date-time", "duration", "ipv4", "ipv6", "hostname", "uuid", "uri"),
    *("uri-reference", "uri-template", "json-pointer", "relative-json-pointer"),
)
# What is checked of values that are named. Patterns are not: such a check might never end.
_CHECKED = (
    *("type", "minLength", "maxLength", *_NUMBERS, "minItems", "maxItems"),
    *("minProperties", "maxProperties", "required"),
)
# Of all patterns of a schema. It is a tenth of a second, in which the service does nothing else.
_MOST_REPETITIONS = 2_000_000
# In these each schema has a name of the caller's.
_NAMED = ("properties", "patternProperties")
# Each of these lets an object have names that the schema does not name.
_OPEN = ("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames")
_INNER = ("items", "prefixItems", "unevaluatedItems", "properties", *_OPEN, *_CHOICES)


def unkept(schema: Schema) -> str | None:
    """What the schema has that no grammar keeps, with the keyword; None: all of it is kept.

    One thing is neither kept nor told: a name may come twice in an object with `free_names`.
    """
    reached = _reached(schema)
    kinds = Kinds(schema)
    for part in reached.values():
        if "$ref" in part and target(schema, part) is None:
            return "a `$ref` that leads to nothing within the schema"
        if found := _unkept_here(kinds, part) or _overlapping(kinds, part):
            return found
    if sum(map(repetitions, _patterns(reached.values()))) > _MOST_REPETITIONS:
        return "`pattern` with too many repetitions"
    if any(_goes_round(schema, reached, inner) for inner in (_of_the_same_value, _needed)):
        return "a `$ref` that leads back to itself without end"
    return None


def with_patterns_read_rightly(schema: Schema) -> Schema:
    """The schema itself, changed so that xgrammar makes the right grammar of its patterns."""
    for part in _reached(schema).values():
        if isinstance(part.get("pattern"), str):
            part["pattern"] = read_rightly(part["pattern"])
        if isinstance(named := part.get("patternProperties"), dict):
            part["patternProperties"] = {read_rightly(name): named[name] for name in named}
    return schema


def _patterns(schemas: Iterable[Schema]) -> Iterator[str]:
    for schema in schemas:
        yield str(schema.get("pattern", ""))
        named = schema.get("patternProperties")
        yield from named if isinstance(named, dict) else ()


def free_names(schema: Schema) -> bool:
    """Whether some object may have names of its own, which a grammar cannot keep from repeating."""
    return any(map(_names_freely, _reached(schema).values()))


def _reached(root: Schema) -> dict[int, Schema]:
    """Every schema that a value may be held to, by its identity."""
    reached: dict[int, Schema] = {}
    waiting: list[Any] = [root]
    while waiting:
        part = ANYTHING if (found := waiting.pop()) is True else found
        if not isinstance(part, dict) or id(part) in reached:
            continue
        reached[id(part)] = part
        waiting.extend((target(root, part), *_inside(part, *_INNER)))
    return reached


def _names_freely(schema: Schema) -> bool:
    if any(keyword in schema for keyword in (*_ALONE, "const", "enum")):
        return False
    kinds = schema.get("type", "object")
    if "object" not in (kinds if isinstance(kinds, list) else [kinds]):
        return False
    if any(schema.get(keyword) not in (None, False) for keyword in _OPEN):
        return True
    return "properties" not in schema and schema.get("additionalProperties") is not False


def _overlapping(kinds: Kinds, schema: Schema) -> str | None:
    """A grammar takes `oneOf` for `anyOf`: the same where no value has two of the schemas."""
    choices = schema.get("oneOf")
    if not isinstance(choices, list) or kinds.all_apart(choices):
        return None
    return "`oneOf` of schemas that may hold at once"


def _unkept_here(kinds: Kinds, schema: Schema) -> str | None:
    never = _first(schema, _NEVER_KEPT)
    if never or schema.get("uniqueItems"):
        return f"`{never or 'uniqueItems'}`"
    if alone := _first(schema, _ALONE):
        return _beside(schema, alone) or _of_another_type(kinds, schema, alone)
    if named := _first(schema, ("const", "enum")):
        return _of_values(schema, named)
    return _untyped(schema) or _of_strings(schema) or _of_objects(schema)


def _beside(schema: Schema, alone: str) -> str | None:
    """What stands beside a keyword that is kept only alone."""
    if alone == "allOf" and isinstance(schema["allOf"], list) and len(schema["allOf"]) > 1:
        return "`allOf` of several schemas"
    others = [other for other in (*_ALONE, "const", "enum", *_BOUNDS) if other != alone]
    found = _first(schema, others)
    return f"`{found}` beside `{alone}`" if found else None


def _of_another_type(kinds: Kinds, schema: Schema, alone: str) -> str | None:
    types = types_of(schema)
    if types is None or kinds.written(schema) <= types:
        return None
    return f"`type` beside `{alone}` with values of other types"


def _of_values(schema: Schema, named: str) -> str | None:
    """xgrammar writes the values that are named, whatever else is said of them."""
    if named == "const" and "enum" in schema:
        return "`enum` beside `const`"
    if other := _first(schema, [bound for bound in _BOUNDS if bound not in _CHECKED]):
        return f"`{other}` beside `{named}`"
    bounds = {keyword: schema[keyword] for keyword in _CHECKED if keyword in schema}
    if bounds and not _all_have(bounds, named_values(schema) or ()):
        return f"`{named}` with a value that is of another `type`, or out of other bounds"
    return None


def _all_have(schema: Schema, values: Sequence[Any]) -> bool:
    checked = Draft202012Validator(schema)
    try:
        return all(checked.is_valid(value) for value in values)
    except (UnknownType, TypeError):
        # It is no schema.
        return False


def _untyped(schema: Schema) -> str | None:
    """Without `type`, xgrammar guesses objects and lists by what is said of their insides."""
    if "type" in schema:
        return None
    read: tuple[str, ...] = ()
    if _first(schema, OBJECT_SIGNS):
        read = _OBJECTS
    elif _first(schema, LIST_SIGNS):
        read = _LISTS
    found = _first(schema, [bound for bound in _BOUNDS if bound not in read])
    return f"`{found}` without `type`" if found else None


def _of_strings(schema: Schema) -> str | None:
    types = schema.get("type")
    if types != "string" and not (isinstance(types, list) and "string" in types):
        return None
    if "format" in schema and schema["format"] not in _FORMATS:
        return "a `format` that the engine does not know"
    if found := unkept_in(str(schema.get("pattern", ""))):
        return f"a `pattern` with {found}"
    return _shaped_length(schema)


def _shaped_length(schema: Schema) -> str | None:
    shape = _first(schema, ("pattern", "format"))
    length = _first(schema, ("minLength", "maxLength"))
    return f"`{length}` beside `{shape}`" if shape and length else None


def _of_objects(schema: Schema) -> str | None:
    patterns, names = schema.get("patternProperties"), schema.get("propertyNames")
    required, named = schema.get("required"), schema.get("properties")
    described = named if isinstance(named, dict) else {}
    if isinstance(required, list) and not _all_among(required, described):
        return "`required` with a name that is not among the `properties`"
    if isinstance(patterns, dict) and ("properties" in schema or len(patterns) > 1):
        return "`patternProperties` beside other properties"
    if isinstance(patterns, dict) and (found := unkept_in("".join(patterns))):
        return f"`patternProperties` with {found}"
    if not isinstance(names, dict):
        return None
    if other := _first(schema, ("properties", "patternProperties", "unevaluatedProperties")):
        return f"`propertyNames` beside `{other}`"
    return _shaped_length(names)


def _all_among(required: Sequence[Any], described: Schema) -> bool:
    return all(isinstance(each, str) and each in described for each in required)


def _first(schema: Schema, keywords: Iterable[str]) -> str | None:
    return next((keyword for keyword in keywords if keyword in schema), None)


def _inside(schema: Schema, *keywords: str) -> Iterator[Any]:
    """The schemas that stand directly in this one under these keywords, among other values."""
    for keyword in keywords:
        value = schema.get(keyword)
        if isinstance(value, list):
            yield from value
        elif keyword in _NAMED and isinstance(value, dict):
            yield from value.values()
        else:
            yield value


def _goes_round(
    root: Schema, reached: Mapping[int, Schema], inner: Callable[[Schema], Iterator[Any]]
) -> bool:
    """Whether some schema leads back to itself by its `$ref` and by `inner` schemas alone."""
    graph = {
        key: {id(to) for to in (target(root, part), *inner(part)) if isinstance(to, dict)}
        for key, part in reached.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return True
    return False


def _of_the_same_value(schema: Schema) -> Iterator[Any]:
    return _inside(schema, *_CHOICES)


def _needed(schema: Schema) -> Iterator[Any]:
    """The schemas of which a value must have a value in it."""
    for keyword in _CHOICES:
        choices = list(_inside(schema, keyword))
        if keyword == "allOf" or len(choices) == 1:
            yield from choices
    if "const" in schema or "enum" in schema:
        return
    kind, properties = schema.get("type"), schema.get("properties")
    if kind in (None, "object", ["object"]) and isinstance(properties, dict):
        required = {each for each in _inside(schema, "required") if isinstance(each, str)}
        yield from (inner for name, inner in properties.items() if name in required)
    if kind in (None, "array", ["array"]) and schema.get("minItems"):
        yield from () if "prefixItems" in schema else _inside(schema, "items")
