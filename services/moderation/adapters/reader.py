"""The second stage's model: reads a window once, and says what it is about and what it wants.

Texts on the same matter are near to each other, whatever they want: "how do I kill weeds" and "how
do I kill my wife" differ by a word. all-MiniLM-L6-v2 went on learning from many such pairs, so that
it tells them apart. Its vectors it kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from services.moderation.api import CATEGORIES
from services.moderation.ports import Scores
from services.shared.embedder import DIMENSIONS, TextModel, Vectors, open_text_model

WEIGHTS = Path(__file__).with_suffix(".onnx")
# Not read where they stand around a window: a string of JSON is no quotation.
_AROUND = " \t\n\\\"'{}[],:"


class Reading(NamedTuple):
    """A row for each window."""

    # As services/shared/embedder gives them.
    vectors: Vectors
    # Log odds for each of `CATEGORIES`, above `log(4)` where it is sure; those of `sexual/minors`
    # are those of `sexual`.
    margins: Scores


class Reader:
    def __init__(self, model: TextModel) -> None:
        self._model = model

    async def read(self, windows: Sequence[str]) -> Reading:
        rows = await self._model.run([window.strip(_AROUND) for window in windows])
        return Reading(rows[:, :DIMENSIONS], rows[:, DIMENSIONS:])


@contextmanager
def open_reader(threads: int = 1) -> Iterator[Reader]:
    """The bundled weights, made by training/. Up to `threads` windows are read at a time."""
    with open_text_model(WEIGHTS, DIMENSIONS + len(CATEGORIES), threads) as model:
        yield Reader(model)
