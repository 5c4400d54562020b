"""The one text of a tool, out of its JSON as it comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.text_input import TextInputReader

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n🌞'))


@given(text=texts, ascii_only=st.booleans(), sizes=st.lists(st.integers(1, 7), min_size=1))
def test_the_pieces_say_what_the_whole_says(text: str, ascii_only: bool, sizes: list[int]) -> None:
    written = json.dumps({"input": text}, ensure_ascii=ascii_only)
    reader, shown, start, turn = TextInputReader(), [], 0, 0
    while start < len(written):
        size = sizes[turn % len(sizes)]
        shown.append(reader.feed(written[start : start + size]))
        start, turn = start + size, turn + 1
    assert "".join(shown) == text
    assert all(piece.isprintable() or piece.encode() for piece in shown)


def test_what_is_said_leaves_as_soon_as_it_is_known() -> None:
    reader = TextInputReader()
    pieces = ['{"in', 'put": "a', "b\\", "n\\ud83c", "\\udf1ec", '"}']
    assert [reader.feed(piece) for piece in pieces] == ["", "a", "b", "\n", "🌞c", ""]


@pytest.mark.parametrize("half", ["\\ud83c", "\\ud83cx", "\\udf1e"])
def test_half_a_character_is_replaced(half: str) -> None:
    shown = TextInputReader().feed(f'{{"input": "{half}."}}')
    assert shown == f"\ufffd{'x' if 'x' in half else ''}."
