"""Of which types the values of a schema are, as xgrammar writes them, and which schemas share none.

A look at a schema has an end, whatever its `$ref`s lead to.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

Schema = dict[str, Any]

# By these, where it has no `type`, xgrammar takes a schema for one of objects or of lists.
OBJECT_SIGNS = ("properties", "additionalProperties", "unevaluatedProperties")
LIST_SIGNS = ("items", "prefixItems", "unevaluatedItems")
_TYPES = {str: "string", bool: "boolean", dict: "object", list: "array", type(None): "null"}
_ALL = frozenset({*_TYPES.values(), "number", "integer"})
_CHOICES = ("anyOf", "oneOf", "allOf")
# How far `$ref`s are followed, one from another, and properties within properties.
_MOST_STEPS = 8
# How many schemas are compared. It is a tenth of a second.
_MOST_COMPARED = 5_000
# Comparing so many named values takes as long as comparing two schemas.
_VALUES_AT_ONCE = 64
ANYTHING: Schema = {}


def target(root: Schema, schema: Schema) -> Schema | None:
    """Where xgrammar finds a `$ref`: it reads no addresses, no anchors and no escapes."""
    ref = schema.get("$ref")
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")) or "//" in ref:
        return None
    found: Any = root
    for name in filter(None, ref[2:].split("/")):
        found = found.get(name) if isinstance(found, dict) else None
    if found is True:
        return ANYTHING
    return found if isinstance(found, dict) else None


def named_values(schema: Schema) -> Sequence[Any] | None:
    """The values of `const` or `enum`; None: the schema names none."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return values if isinstance(values, list) else None


def kind_of(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    number = "integer" if whole or isinstance(value, int) else "number"
    return _TYPES.get(type(value), number)


def types_of(schema: Schema) -> frozenset[str] | None:
    """The types that `type` names, the whole numbers among the numbers; None: it names none."""
    given = schema.get("type")
    if given is None:
        return None
    kinds = {kind for kind in (given if isinstance(given, list) else [given]) if kind in [*_ALL]}
    return frozenset(kinds | ({"integer"} if "number" in kinds else set()))


def written_types(schema: Schema) -> frozenset[str]:
    """The types of the values that a grammar of a whole schema writes, which may be too many."""
    return Kinds(schema).written(schema)


class _TooManyCompared(Exception):
    """It is not plain to see."""


class Kinds:
    """Looks at the schemas that stand within one, the root."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        # By the schema's identity; those being looked at have no kinds yet.
        self._known: dict[int, frozenset[str]] = {}
        self._looks: dict[int, _Seen] = {}
        self._compared = 0

    def written(self, schema: Any, steps: int = 4 * _MOST_STEPS) -> frozenset[str]:
        """The types of the values that a grammar of the schema writes, which may be too many."""
        if not isinstance(schema, dict) or not steps:
            return frozenset() if schema is False else _ALL
        if id(schema) not in self._known:
            self._known[id(schema)] = frozenset()
            self._known[id(schema)] = self._written(schema, steps - 1)
        return self._known[id(schema)]

    def _written(self, schema: Schema, steps: int) -> frozenset[str]:
        if "$ref" in schema:
            return self.written(target(self._root, schema), steps)
        for keyword in _CHOICES:
            if isinstance(schema.get(keyword), list):
                return self._any(schema[keyword], steps)
        values = named_values(schema)
        if values is not None:
            return frozenset(map(kind_of, values))
        if (types := types_of(schema)) is not None:
            return types
        if any(sign in schema for sign in OBJECT_SIGNS):
            return frozenset({"object"})
        return frozenset({"array"}) if any(sign in schema for sign in LIST_SIGNS) else _ALL

    def _any(self, schemas: Iterable[Any], steps: int) -> frozenset[str]:
        return frozenset(kind for each in schemas for kind in self.written(each, steps))

    def all_apart(self, schemas: Sequence[Any]) -> bool:
        """Whether it is plain to see that no value has two of the schemas."""
        try:
            return self._all_apart(schemas, _MOST_STEPS)
        except _TooManyCompared:
            return False

    def _all_apart(self, schemas: Sequence[Any], steps: int) -> bool:
        self._count(len(schemas))
        met = [self._behind_refs(each) for each in schemas]
        seen = [self._seen(each) if isinstance(each, dict) else _NOTHING_SEEN for each in met]
        named = [value for each in seen for value in each.values or ()]
        if len(named) > len(set(named)):
            return False
        # Of those that name their values only the types still count.
        kinds = {kind for each in seen if each.values is not None for kind in each.kinds}
        others = [each for each, look in zip(met, seen, strict=True) if look.values is None]
        if any(not isinstance(each, dict) or kinds & self._seen(each).kinds for each in others):
            return not met[1:]
        if self._told_apart(others, steps):
            return True
        return all(self._apart(*pair, _MOST_STEPS) for pair in combinations(others, 2))

    def _told_apart(self, schemas: Sequence[Schema], steps: int) -> bool:
        """Whether they are objects, and one property tells each from every other."""
        seen = [self._seen(each) for each in schemas]
        if not seen or not steps or any(each.kinds != {"object"} for each in seen):
            return False
        shared = frozenset.intersection(*(each.required for each in seen))
        inner = ([each["properties"][name] for each in schemas] for name in shared)
        return any(self._all_apart(each, steps - 1) for each in inner)

    def _apart(self, one: Any, other: Any, steps: int) -> bool:
        one, other = self._behind_refs(one), self._behind_refs(other)
        if not (isinstance(one, dict) and isinstance(other, dict)) or not steps:
            return False
        first, second = self._seen(one), self._seen(other)
        self._count(1 + len(first.values or ()) // _VALUES_AT_ONCE)
        if not first.kinds & second.kinds:
            return True
        if first.values is not None and second.values is not None:
            return not first.values & second.values
        shared = first.required & second.required
        inner = ((one["properties"][name], other["properties"][name]) for name in shared)
        objects = first.kinds | second.kinds == {"object"}
        return objects and any(self._apart(*pair, steps - 1) for pair in inner)

    def _count(self, compared: int) -> None:
        self._compared += compared
        if self._compared > _MOST_COMPARED:
            raise _TooManyCompared

    def _behind_refs(self, schema: Any) -> Any:
        for _ in range(_MOST_STEPS):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            schema = target(self._root, schema)
        return schema

    def _seen(self, schema: Schema) -> "_Seen":
        if id(schema) not in self._looks:
            self._looks[id(schema)] = _Seen(_kinds(schema), _values(schema), _required(schema))
        return self._looks[id(schema)]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is to be seen of a schema's values."""

    # Whole numbers as numbers.
    kinds: frozenset[str]
    # Where it names them: each as its type and its JSON.
    values: frozenset[str] | None
    # Of an object.
    required: frozenset[str]


_NOTHING_SEEN = _Seen(_ALL, None, frozenset())


def _kinds(schema: Schema) -> frozenset[str]:
    values = named_values(schema)
    found = types_of(schema) if values is None else map(kind_of, values)
    kinds = _ALL if found is None else found
    return frozenset("number" if kind == "integer" else kind for kind in kinds)


def _values(schema: Schema) -> frozenset[str] | None:
    values = named_values(schema)
    if values is None:
        return None
    return frozenset(
        f"{_TYPES.get(type(each), 'number')} {json.dumps(each, sort_keys=True)}" for each in values
    )


def _required(schema: Schema) -> frozenset[str]:
    required, properties = schema.get("required"), schema.get("properties")
    if not (isinstance(required, list) and isinstance(properties, dict)):
        return frozenset()
    return frozenset(name for name in required if isinstance(name, str) and name in properties)
