"""Inspects whole texts: scores their windows and runs the rules over them."""

import asyncio
from collections.abc import Sequence
from itertools import accumulate, pairwise

from services.moderation.api import Span
from services.moderation.ports import Finder, Inspection, WindowScorer
from services.moderation.windows import WindowSize, windows

# The rules take about 0.2 ms for so many characters. For more, they run on another thread.
_INLINE_CHARS = 2_000


class TextInspector:
    """Gives each text, in each category, the highest score that one of its windows has."""

    def __init__(
        self, scorer: WindowScorer, finders: Sequence[Finder], window_size: WindowSize
    ) -> None:
        self._scorer = scorer
        self._finders = finders
        self._window_size = window_size

    async def inspect(self, texts: Sequence[str]) -> Sequence[Inspection]:
        if sum(map(len, texts)) <= _INLINE_CHARS:
            cut, spans = self._cut_and_find(texts)
        else:
            cut, spans = await asyncio.to_thread(self._cut_and_find, texts)
        scores = await self._scorer.score([window for each in cut for window in each])
        bounds = pairwise(accumulate((len(each) for each in cut), initial=0))
        return [
            Inspection(tuple(scores[begin:end].max(axis=0).tolist()), found)
            for (begin, end), found in zip(bounds, spans, strict=True)
        ]

    def _cut_and_find(self, texts: Sequence[str]) -> tuple[list[list[str]], list[tuple[Span, ...]]]:
        cut = [windows(text, self._window_size) for text in texts]
        spans = [
            tuple(span for finder in self._finders for span in finder.find(text)) for text in texts
        ]
        return cut, spans
