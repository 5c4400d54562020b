"""What callers and models write as JSON."""

import json
from typing import Any

import pytest

from services.shared.json_text import read_json
from services.shared.nesting import MOST_LEVELS

HALVES = [
    (r'"a\ud800b"', "a\ufffdb"),
    (r'{"\uDFFF": ["\ud83d"]}', {"\ufffd": ["\ufffd"]}),
    (r'"\ude42\ud83d"', "\ufffd\ufffd"),
    (r'"\ud83d\ude42"', "🙂"),
    (r'"\\ud800"', r"\ud800"),
    (r'["\ud83d\ude42", null, 1.5, true]', ["🙂", None, 1.5, True]),
]


@pytest.mark.parametrize(("text", "read"), HALVES)
def test_half_a_character_becomes_a_sign_and_all_else_stays(text: str, read: Any) -> None:
    assert read_json(text) == read
    json.dumps(read_json(text), ensure_ascii=False).encode()


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_what_is_nested_as_deeply_as_a_request_may_be_is_read() -> None:
    read_json(nested(MOST_LEVELS))
    read_json('"' + "[" * 10_000 + '"')


@pytest.mark.parametrize("levels", [MOST_LEVELS + 2, 600, 900, 100_000])
def test_what_is_nested_more_deeply_is_not_read(levels: int) -> None:
    with pytest.raises(ValueError, match="too deeply"):
        read_json(nested(levels))


@pytest.mark.parametrize("text", ["", "{", "9" * 5000, "\ufeff{}"])
def test_what_is_no_json_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own sentences
        read_json(text)
