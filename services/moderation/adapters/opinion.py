"""The second stage's second opinion: a small network over vectors, and a linear model over words.

Texts on the same matter are near to each other, whatever they want: "how do I kill weeds" and "how
do I kill my wife" differ by a word. This model learnt from many such pairs, and blocks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.moderation.adapters.ngrams import WORD_WEIGHTS, Ngrams, open_ngrams
from services.moderation.ports import Scores

WEIGHTS = Path(__file__).with_suffix(".npz")


class Opinion:
    """A network with one hidden layer of units that are 0 below 0, and a model over words.

    `hidden` has a row for each value of a vector and a column for each unit, `out` a row for each
    unit and a column for each category.
    """

    def __init__(
        self, hidden: Scores, hidden_bias: Scores, out: Scores, bias: Scores, words: Ngrams
    ) -> None:
        self._hidden = hidden
        self._hidden_bias = hidden_bias
        self._out = out
        self._bias = bias
        self._words = words

    def margins(self, vectors: Scores, windows: Sequence[str]) -> Scores:
        units = np.maximum(vectors @ self._hidden + self._hidden_bias, 0)
        margins: Scores = units @ self._out + self._bias + self._words.margins(windows)
        return margins


def open_opinion(weights: Path = WEIGHTS, word_weights: Path = WORD_WEIGHTS) -> Opinion:
    """The bundled weights, made by training/."""
    with np.load(weights) as stored:
        parts = ("hidden", "hidden_bias", "out", "bias")
        return Opinion(
            *(stored[part].astype(np.float32) for part in parts), open_ngrams(word_weights)
        )
