"""How a window gets its scores: from a cheap stage first, and from a costly one only in doubt."""

import asyncio
from collections.abc import Sequence

import numpy as np

from services.moderation.minors import compose_minors
from services.moderation.phrasebook import Phrasebook
from services.moderation.ports import FirstStage, Scores, WindowScorer

# More windows than this take longer than the event loop should wait.
_INLINE = 8


class Cascade:
    """Scores windows in two stages.

    A window whose scores of the first stage are all below `clear_below` keeps them. Every other
    window is scored by the second stage.
    """

    def __init__(
        self,
        first: FirstStage,
        second: WindowScorer,
        phrasebook: Phrasebook,
        *,
        clear_below: float,
    ) -> None:
        self._first = first
        self._second = second
        self._phrasebook = phrasebook
        self._clear_below = clear_below

    async def score(self, windows: Sequence[str]) -> Scores:
        if len(windows) <= _INLINE:
            scores = self._first.score(windows)
        else:
            scores = await asyncio.to_thread(self._first.score, windows)
        doubtful = np.flatnonzero(scores.max(axis=1, initial=0) >= self._clear_below)
        if doubtful.size:
            scores[doubtful] = await self._second.score([windows[row] for row in doubtful])
        compose_minors(windows, scores)
        self._phrasebook.mark(windows, scores)
        return scores
