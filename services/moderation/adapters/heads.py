"""The second stage: on top of the reader's vectors, one head for each category.

A head is a kernel machine: it compares a text's vector with those of known passages. It says what
a text is about, and hardly what the text wants. So nothing is blocked by the heads alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.moderation.adapters.reader import Reading
from services.moderation.api import CATEGORIES
from services.moderation.methods import asks_plainly, may_ask, refuses, wants_means
from services.moderation.ports import Scores
from services.moderation.windows import CLAUSE, count_words, holds_few_sentences

WEIGHTS = Path(__file__).with_suffix(".npz")
Vectors = NDArray[np.float32]
_HALF = 0.5
# No window scores more by the heads alone.
ALONE = 0.79
# What the reader's margins lose in a window of many sentences. Each of these is a window as well.
_OF_MANY_SENTENCES = np.float32(5)
# What they lose in a window that has as many words as a clause cut out of a long sentence: what is
# meant may stand in the rest of that sentence.
_OF_A_CLAUSE = np.float32(3)
# A window asks for a way to die only where the heads find at least so much of self-harm in it; the
# second is for a few words alone ("how many steps?"), which may mean anything.
_A_LITTLE, _MUCH, _FEW_WORDS = 0.06, 0.4, 7
INSTRUCTIONS = CATEGORIES.index("self-harm/instructions")
_SELF_HARM = [column for column, name in enumerate(CATEGORIES) if name.startswith("self-harm")]
_NOT_AT_ALL = np.float32(-10)
# What the reader's margin gains where the window's form asks for a way to die, too, and the reader
# does not speak much against it.
_PLAINLY, _AGAINST = np.float32(2.5), -0.5
_MINORS = CATEGORIES.index("sexual/minors")


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


class WindowReader(Protocol):
    async def read(self, windows: Sequence[str]) -> Reading: ...


class HeadStage:
    """Scores windows by what a reader makes of them: by the heads, and by the reader's own margins.

    The heads alone may find a window worth a flag. Only the reader may find it as bad as `ALONE`
    and worse, which is where the bundled policy blocks. In a window of many sentences what it finds
    may come from sentences that have nothing to do with each other, so there it must be surer. It
    must be surer in a clause, too, since what stood around the clause is missing.
    """

    def __init__(self, reader: WindowReader, heads: Heads) -> None:
        self._reader = reader
        self._heads = heads

    async def score(self, windows: Sequence[str]) -> Scores:
        reading = await self._reader.read(windows)
        of_heads = self._heads.margins(reading.vectors)
        few = np.array([[holds_few_sentences(window)] for window in windows])
        clause = np.array([[count_words(window) == CLAUSE.words] for window in windows])
        margins = np.where(few, reading.margins, reading.margins - _OF_MANY_SENTENCES)
        margins = np.where(clause, margins - _OF_A_CLAUSE, margins)
        margins[:, INSTRUCTIONS] = _asking(windows, of_heads, margins[:, INSTRUCTIONS])
        scores = combined(of_heads, margins)
        refusal = np.array([[refuses(window)] for window in windows])
        of_self_harm = scores[:, _SELF_HARM]
        scores[:, _SELF_HARM] = np.where(refusal, np.minimum(of_self_harm, ALONE), of_self_harm)
        return scores


def _asking(windows: Sequence[str], of_heads: Scores, margins: Scores) -> Scores:
    """The reader's margins for asking for a way to die, by what the heads and the form say to it.

    `margins` has one for each window, and so has the result.
    """
    short = np.array([count_words(window) <= _FEW_WORDS for window in windows], bool)
    of_self_harm = as_scores(of_heads[:, _SELF_HARM]).max(axis=1)
    asks = of_self_harm >= np.where(short, _MUCH, _A_LITTLE)
    asks &= np.array([may_ask(window) for window in windows], bool)
    plain = np.array([asks_plainly(window) for window in windows], bool)
    gained = np.where(plain & (margins > _AGAINST), margins + _PLAINLY, margins)
    asked: Scores = np.where(asks | plain, gained, _NOT_AT_ALL)
    asked[[wants_means(window) for window in windows]] = _PLAINLY
    return asked


def combined(of_heads: Scores, of_reader: Scores) -> Scores:
    """The heads' scores, pressed below `ALONE`, but where the reader is sure, its own.

    In the column of the category that is composed stands what the reader says of `sexual`.
    """
    flags, sure = as_scores(of_heads), as_scores(of_reader)
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
