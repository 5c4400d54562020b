"""How deeply a value that was read from JSON is nested."""

from collections.abc import Iterable
from typing import Any

# A schema may be half as deep, as each of its levels is two of JSON's. Python's own readers of JSON
# and of schemas give up beyond a few hundred.
MOST_LEVELS = 100


def too_deep(value: Any) -> bool:
    """Whether a container stands in more than `MOST_LEVELS` others."""
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    """What an object or a list holds."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
