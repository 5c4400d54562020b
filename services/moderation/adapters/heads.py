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
from services.moderation.methods import INSTRUCTIONS, asking
from services.moderation.ports import Scores
from services.moderation.windows import holds_few_sentences

WEIGHTS = Path(__file__).with_suffix(".npz")
Vectors = NDArray[np.float32]
_HALF = 0.5
# No window scores more by the heads alone.
ALONE = 0.79
_MINORS = CATEGORIES.index("sexual/minors")
_SELF_HARM = CATEGORIES.index("self-harm")
# In categories of what a text wants, the second opinion needs only be half sure where the heads are
# as sure as that. In all others the heads find reports as bad as deeds.
_HEADS_SURE = 0.9
_WANTED = [
    CATEGORIES.index(category)
    for category in ("harassment/threatening", "illicit", "illicit/violent", "violence")
]
_HALF_SURE_IS_ENOUGH = np.float32(np.log(4))
# What every margin loses in a window of many sentences. Each of these is a window as well.
_OF_MANY_SENTENCES = -0.7


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
    `ALONE` and worse, which is where the bundled policy blocks. Short of being sure it needs
    evidence: that the heads are sure, or that the window asks for a way to die. In a window of many
    sentences this may come from sentences that have nothing to do with each other, so there it
    must be surer than elsewhere.
    """

    def __init__(self, embedder: TextEmbedder, heads: Heads, opinion: SecondOpinion) -> None:
        self._embedder = embedder
        self._heads = heads
        self._opinion = opinion

    async def score(self, windows: Sequence[str]) -> Scores:
        vectors = await self._embedder.embed(windows)
        of_heads = self._heads.margins(vectors)
        of_opinion = self._opinion.margins(vectors, windows)
        return combined(of_heads, of_opinion + _evidence(of_heads, windows))


def _evidence(of_heads: Scores, windows: Sequence[str]) -> Scores:
    """What to add to the second opinion's margins."""
    evidence = np.zeros_like(of_heads)
    sure = as_scores(of_heads[:, _WANTED]) >= _HEADS_SURE
    evidence[:, _WANTED] = sure * _HALF_SURE_IS_ENOUGH
    asked = np.array([asking(window) for window in windows], np.float32)
    evidence[:, INSTRUCTIONS] = asked
    # Who speaks of help does not incite to it either. Who asks need not be about to do it.
    evidence[:, _SELF_HARM] = np.minimum(asked, 0)
    few = np.array([[holds_few_sentences(window)] for window in windows])
    found: Scores = np.where(few, evidence, _OF_MANY_SENTENCES).astype(np.float32)
    return found


def combined(of_heads: Scores, of_opinion: Scores) -> Scores:
    """The heads' scores, pressed below `ALONE`, but where the second opinion is sure, its own.

    In the column of the category that is composed stands what the opinion says of `sexual`.
    """
    flags, sure = as_scores(of_heads), as_scores(of_opinion)
    # From a half to 1 becomes from a half to `ALONE`.
    pressed = np.where(flags > _HALF, _HALF + (flags - _HALF) * (ALONE - _HALF) / _HALF, flags)
    scores: Scores = np.where(sure > ALONE, sure, pressed).astype(np.float32)
    scores[:, _MINORS] = sure[:, _MINORS]
    return scores


def as_scores(margins: Scores) -> Scores:
    """From 0 to 1; a margin of 0 is a half."""
    scores: Scores = (1 / (1 + np.exp(-margins))).astype(np.float32)
    return scores


def open_heads(weights: Path = WEIGHTS) -> Heads:
    """The bundled weights, made by training/."""
    with np.load(weights) as stored:
        passages = stored["passages"].astype(np.float32) * stored["scale"]
        return Heads(
            passages, stored["weights"].astype(np.float32), stored["bias"], float(stored["gamma"])
        )
