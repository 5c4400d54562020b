"""How whole texts are read: windows scored, rules run."""

import asyncio
from collections.abc import Sequence
from itertools import accumulate, pairwise

from services.moderation.api import Span
from services.moderation.ports import Finder, Reading, Scorer
from services.moderation.windows import Windowing, windows

# Rules take about 0.2 ms for so much text; more does not run on the event loop.
_INLINE_CHARS = 2_000


class TextReader:
    """Reads each text by itself; the worst of its windows counts."""

    def __init__(self, scorer: Scorer, finders: Sequence[Finder], windowing: Windowing) -> None:
        self._scorer = scorer
        self._finders = finders
        self._windowing = windowing

    async def read(self, texts: Sequence[str]) -> Sequence[Reading]:
        if sum(map(len, texts)) <= _INLINE_CHARS:
            cut, spans = self._cut_and_find(texts)
        else:
            cut, spans = await asyncio.to_thread(self._cut_and_find, texts)
        scores = await self._scorer.score([window for each in cut for window in each])
        bounds = pairwise(accumulate((len(each) for each in cut), initial=0))
        return [
            Reading(tuple(scores[begin:end].max(axis=0).tolist()), found)
            for (begin, end), found in zip(bounds, spans, strict=True)
        ]

    def _cut_and_find(self, texts: Sequence[str]) -> tuple[list[list[str]], list[tuple[Span, ...]]]:
        cut = [windows(text, self._windowing) for text in texts]
        spans = [
            tuple(span for finder in self._finders for span in finder.find(text)) for text in texts
        ]
        return cut, spans
