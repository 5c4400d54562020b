"""The second stage: on top of the bundled embedder, one head for each category.

A head is a kernel machine: it compares a text's vector with those of known passages. It says what
a text is about, and hardly what the text wants. So nothing is blocked without a second opinion.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.moderation.api import CATEGORIES
from services.moderation.ports import Scores

WEIGHTS = Path(__file__).with_suffix(".npz")
Vectors = NDArray[np.float32]
_HALF = 0.5
# No window scores more by the heads alone.
ALONE = 0.79
_MINORS = CATEGORIES.index("sexual/minors")


class TextEmbedder(Protocol):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row of unit length for each text."""


class Heads:
    """Scores a vector by how near it is to each known passage, and what that passage counts.

    `passages` has a row for each passage, `weights` a row for each passage and a column for each
    category.
    """

    def __init__(self, passages: Vectors, weights: Vectors, bias: Vectors, gamma: float) -> None:
        self._passages = passages
        self._weights = weights
        self._bias = bias
        self._gamma = gamma

    def margins(self, vectors: Vectors) -> Scores:
        # The squared distance of two vectors of length 1 is 2 - 2 cos.
        near = np.exp(2 * self._gamma * (vectors @ self._passages.T - 1))
        margins: Scores = near @ self._weights + self._bias
        return margins


class SecondOpinion(Protocol):
    def margins(self, vectors: Vectors, windows: Sequence[str]) -> Scores:
        """Above `log(4)`, a score of 0.8, where it is sure."""


class HeadStage:
    """Embeds windows, and scores them by the heads and by a second opinion.

    The heads alone may find a window worth a flag. Only the second opinion may find it as bad as
    `ALONE` and worse, which is where the bundled policy blocks.
    """

    def __init__(self, embedder: TextEmbedder, heads: Heads, opinion: SecondOpinion) -> None:
        self._embedder = embedder
        self._heads = heads
        self._opinion = opinion

    async def score(self, windows: Sequence[str]) -> Scores:
        vectors = await self._embedder.embed(windows)
        return combined(self._heads.margins(vectors), self._opinion.margins(vectors, windows))


def combined(of_heads: Scores, of_opinion: Scores) -> Scores:
    """The heads' scores, pressed below `ALONE`, but where the second opinion is sure, its own.

    In the column of the category that is composed stands what the opinion says of `sexual`.
    """
    flags, sure = as_scores(of_heads), as_scores(of_opinion)
    # From a half to 1 becomes from a half to `ALONE`.
    flags = np.where(flags > _HALF, _HALF + (flags - _HALF) * (ALONE - _HALF) / _HALF, flags)
    scores: Scores = np.where(sure > ALONE, sure, flags).astype(np.float32)
    scores[:, _MINORS] = sure[:, _MINORS]
    return scores


def as_scores(margins: Scores) -> Scores:
    """From 0 to 1; a margin of 0 is a half."""
    scores: Scores = 1 / (1 + np.exp(-margins))
    return scores


def open_heads(weights: Path = WEIGHTS) -> Heads:
    """The bundled weights, made by training/."""
    with np.load(weights) as stored:
        passages = stored["passages"].astype(np.float32) * stored["scale"]
        return Heads(
            passages, stored["weights"].astype(np.float32), stored["bias"], float(stored["gamma"])
        )
