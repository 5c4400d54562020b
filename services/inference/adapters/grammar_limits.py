"""What of JSON Schema xgrammar, vLLM's maker of grammars, does not keep.

xgrammar passes over these keywords without a word, or fails in the engine, where nobody can be told
why. So a schema that must be kept is looked through before the engine sees it.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from typing import Any

Schema = dict[str, Any]

_NEVER_KEPT = (
    *("not", "if", "dependentRequired", "dependentSchemas", "dependencies", "multipleOf"),
    *("contains", "minContains", "maxContains", "$dynamicRef", "$recursiveRef"),
)
_STRINGS = ("minLength", "maxLength", "pattern")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LISTS = ("items", "prefixItems", "unevaluatedItems", "minItems", "maxItems")
_OBJECTS = (
    *("properties", "additionalProperties", "unevaluatedProperties", "required"),
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
# In these each schema has a name of the caller's.
_NAMED = ("properties", "patternProperties")
# Each of these lets an object have names that the schema does not name.
_OPEN = ("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames")
_INNER = ("items", "prefixItems", "unevaluatedItems", "properties", *_OPEN, *_CHOICES)
# What JSON's strings hold only escaped, xgrammar writes as it stands in a pattern.
_UNESCAPED = re.compile(r'["\x00-\x1f]|\\[nrtfvb0aec\\]|\\(?:x|u00)(?:[01][0-9a-fA-F]|22|5[cC])')
_EXCLUDING = re.compile(r"\[\^(?:\\.|[^\]\\])*\]", re.DOTALL)
_TYPES = {str: "string", bool: "boolean", dict: "object", list: "array", type(None): "null"}
_KINDS = {*_TYPES.values(), "number", "integer"}
_ANYTHING: Schema = {}


def unkept(schema: Schema) -> str | None:
    """What the schema has that no grammar keeps, with the keyword; None: all of it is kept.

    One thing is neither kept nor told: a name may come twice in an object with `free_names`.
    """
    reached = _reached(schema)
    for part in reached.values():
        if "$ref" in part and _target(schema, part) is None:
            return "a `$ref` that leads to nothing within the schema"
        if found := _unkept_here(part) or _overlapping(schema, part):
            return found
    if any(_goes_round(schema, reached, inner) for inner in (_of_the_same_value, _needed)):
        return "a `$ref` that leads back to itself without end"
    return None


def free_names(schema: Schema) -> bool:
    """Whether some object may have names of its own, which a grammar cannot keep from repeating."""
    return any(map(_names_freely, _reached(schema).values()))


def _reached(root: Schema) -> dict[int, Schema]:
    """Every schema that a value may be held to, by its identity."""
    reached: dict[int, Schema] = {}
    waiting: list[Any] = [root]
    while waiting:
        part = _ANYTHING if (found := waiting.pop()) is True else found
        if not isinstance(part, dict) or id(part) in reached:
            continue
        reached[id(part)] = part
        waiting.extend((_target(root, part), *_inside(part, *_INNER)))
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


def _overlapping(root: Schema, schema: Schema) -> str | None:
    """A grammar takes `oneOf` for `anyOf`: the same where no value has two of the schemas."""
    choices = schema.get("oneOf")
    if not isinstance(choices, list) or all(
        _apart(root, *pair) for pair in combinations(choices, 2)
    ):
        return None
    return "`oneOf` of schemas that may hold at once"


def _apart(root: Schema, one: Any, other: Any, levels: int = 8) -> bool:
    """Whether it is plain to see that no value has both schemas."""
    one, other = (_behind_refs(root, each) for each in (one, other))
    if not (isinstance(one, dict) and isinstance(other, dict)) or not levels:
        return False
    if not _kinds(one) & _kinds(other):
        return True
    values = [_values(each) for each in (one, other)]
    if values[0] is not None and values[1] is not None:
        return not values[0] & values[1]
    shared = _required(one) & _required(other)
    inner = ((one["properties"][name], other["properties"][name]) for name in shared)
    objects = _kinds(one) | _kinds(other) == {"object"}
    return objects and any(_apart(root, *pair, levels - 1) for pair in inner)


def _behind_refs(root: Schema, schema: Any) -> Any:
    for _ in range(8):
        if not isinstance(schema, dict) or "$ref" not in schema:
            break
        schema = _target(root, schema)
    return schema


def _kinds(schema: Schema) -> frozenset[str]:
    """The types that its values may have; whole numbers are among the numbers."""
    given = _values(schema)
    if given is not None:
        return frozenset(text.partition(" ")[0] for text in given)
    kinds = schema.get("type", list(_TYPES.values()))
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return frozenset("number" if kind == "integer" else kind for kind in kinds if kind in _KINDS)


def _values(schema: Schema) -> frozenset[str] | None:
    """The values that `const` or `enum` names, each as its type and its JSON."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list):
        return None
    return frozenset(
        f"{_TYPES.get(type(each), 'number')} {json.dumps(each, sort_keys=True)}" for each in values
    )


def _required(schema: Schema) -> frozenset[str]:
    required, properties = schema.get("required"), schema.get("properties")
    if not (isinstance(required, list) and isinstance(properties, dict)):
        return frozenset()
    return frozenset(name for name in properties if name in required)


def _unkept_here(schema: Schema) -> str | None:
    never = _first(schema, _NEVER_KEPT)
    if never or schema.get("uniqueItems"):
        return f"`{never or 'uniqueItems'}`"
    if alone := _first(schema, _ALONE):
        return _beside(schema, alone)
    if "const" in schema or "enum" in schema:
        return None
    return _untyped(schema) or _of_strings(schema) or _of_objects(schema)


def _beside(schema: Schema, alone: str) -> str | None:
    """What stands beside a keyword that is kept only alone."""
    if alone == "allOf" and isinstance(schema["allOf"], list) and len(schema["allOf"]) > 1:
        return "`allOf` of several schemas"
    others = [other for other in (*_ALONE, "const", "enum", *_BOUNDS) if other != alone]
    found = _first(schema, others)
    return f"`{found}` beside `{alone}`" if found else None


def _untyped(schema: Schema) -> str | None:
    """Without `type`, xgrammar guesses objects and lists by what is said of their insides."""
    if "type" in schema:
        return None
    read: tuple[str, ...] = ()
    if _first(schema, _OBJECTS[:3]):
        read = _OBJECTS
    elif _first(schema, _LISTS[:3]):
        read = _LISTS
    found = _first(schema, [bound for bound in _BOUNDS if bound not in read])
    return f"`{found}` without `type`" if found else None


def _of_strings(schema: Schema) -> str | None:
    types = schema.get("type")
    if types != "string" and not (isinstance(types, list) and "string" in types):
        return None
    if "format" in schema and schema["format"] not in _FORMATS:
        return "a `format` that the engine does not know"
    if _UNESCAPED.search(_EXCLUDING.sub("", str(schema.get("pattern", "")))):
        return "a `pattern` with a quotation mark, a backslash or a control character"
    return _shaped_length(schema)


def _shaped_length(schema: Schema) -> str | None:
    shape = _first(schema, ("pattern", "format"))
    length = _first(schema, ("minLength", "maxLength"))
    return f"`{length}` beside `{shape}`" if shape and length else None


def _of_objects(schema: Schema) -> str | None:
    patterns, names = schema.get("patternProperties"), schema.get("propertyNames")
    required, named = schema.get("required"), schema.get("properties")
    described = list(named) if isinstance(named, dict) else []
    if isinstance(required, list) and any(each not in described for each in required):
        return "`required` with a name that is not among the `properties`"
    if isinstance(patterns, dict) and ("properties" in schema or len(patterns) > 1):
        return "`patternProperties` beside other properties"
    if not isinstance(names, dict):
        return None
    if other := _first(schema, ("properties", "patternProperties", "unevaluatedProperties")):
        return f"`propertyNames` beside `{other}`"
    return _shaped_length(names)


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


def _target(root: Schema, schema: Schema) -> Schema | None:
    """Where xgrammar finds a `$ref`: it reads no addresses, no anchors and no escapes."""
    ref = schema.get("$ref")
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        return None
    found: Any = root
    for name in filter(None, ref[2:].split("/")):
        found = found.get(name) if isinstance(found, dict) else None
    if found is True:
        return _ANYTHING
    return found if isinstance(found, dict) else None


def _goes_round(
    root: Schema, reached: Mapping[int, Schema], inner: Callable[[Schema], Iterator[Any]]
) -> bool:
    """Whether some schema leads back to itself by its `$ref` and by `inner` schemas alone."""
    graph = {
        key: {id(to) for to in (_target(root, part), *inner(part)) if isinstance(to, dict)}
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
        required = list(_inside(schema, "required"))
        yield from (inner for name, inner in properties.items() if name in required)
    if kind in (None, "array", ["array"]) and schema.get("minItems"):
        yield from () if "prefixItems" in schema else _inside(schema, "items")
