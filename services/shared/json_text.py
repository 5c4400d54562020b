"""JSON that a caller or a model has written: it may be anything."""

import json
import re
from typing import Any

from services.shared.nesting import MOST_LEVELS, too_deep

# How JSON may write half of a character. The other half may follow it, or not.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(text: str) -> Any:
    """What the text says, with U+FFFD for half a character, which no service can carry.

    Raises `ValueError` for what is no JSON, or is nested too deeply to be looked through.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    # Counting brackets is cheap, and tells of nearly all texts that they are not deep.
    if text.count("[") + text.count("{") > MOST_LEVELS and too_deep(value):
        raise ValueError("is nested too deeply")
    return _without_halves(value) if _HALF.search(text) else value


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_halves(each) for each in value]
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(each) for name, each in value.items()}
    return value
