"""How a window gets its scores: from a cheap stage first, and from a costly one only in doubt."""

from collections.abc import Sequence

import numpy as np

from services.moderation.minors import compose_minors
from services.moderation.phrasebook import Phrasebook
from services.moderation.ports import FirstStage, Scores, WindowScorer
from services.moderation.threads import in_steps

# More windows than this take longer than the event loop should wait.
_INLINE = 8
# So many of them make a step of the thread that scores more.
_STEP = 64


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
            steps = range(0, len(windows), _STEP)
            scores = np.concatenate(
                await in_steps(self._first.score(windows[at : at + _STEP]) for at in steps)
            )
        doubtful = np.flatnonzero(scores.max(axis=1, initial=0) >= self._clear_below)
        if doubtful.size:
            scores[doubtful] = await self._second.score([windows[row] for row in doubtful])
        compose_minors(windows, scores)
        self._phrasebook.mark(windows, scores)
        return scores
