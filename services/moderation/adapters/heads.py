"""The second stage: on top of the bundled embedder, one head for each category.

A head is a kernel machine: it compares a text's vector with those of known passages.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.moderation.ports import Scores

WEIGHTS = Path(__file__).with_suffix(".npz")
Vectors = NDArray[np.float32]


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

    def scores(self, vectors: Vectors) -> Scores:
        # The squared distance of two vectors of length 1 is 2 - 2 cos.
        near = np.exp(2 * self._gamma * (vectors @ self._passages.T - 1))
        scores: Scores = 1 / (1 + np.exp(-(near @ self._weights + self._bias)))
        return scores


class HeadStage:
    """Embeds windows and lets the heads score them."""

    def __init__(self, embedder: TextEmbedder, heads: Heads) -> None:
        self._embedder = embedder
        self._heads = heads

    async def score(self, windows: Sequence[str]) -> Scores:
        return self._heads.scores(await self._embedder.embed(windows))


def open_heads(weights: Path = WEIGHTS) -> Heads:
    """The bundled weights, made by training/."""
    with np.load(weights) as stored:
        passages = stored["passages"].astype(np.float32) * stored["scale"]
        return Heads(
            passages, stored["weights"].astype(np.float32), stored["bias"], float(stored["gamma"])
        )
