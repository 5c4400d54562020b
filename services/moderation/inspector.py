"""Inspects whole texts: scores their windows and runs the rules over them."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from services.moderation.api import Span
from services.moderation.ports import Finder, Inspection, WindowScorer
from services.moderation.threads import in_steps
from services.moderation.windows import WindowSize, passages

# The rules take about 0.2 ms for so many characters. For more, they run on another thread.
_INLINE_CHARS = 2_000


class TextInspector:
    """Gives each text, in each category, the highest score of its windows and sentences."""

    def __init__(
        self, scorer: WindowScorer, finders: Sequence[Finder], window_size: WindowSize
    ) -> None:
        self._scorer = scorer
        self._finders = finders
        self._window_size = window_size

    async def inspect(self, texts: Sequence[str]) -> Sequence[Inspection]:
        inline = sum(map(len, texts)) <= _INLINE_CHARS
        cutting, finding = self._cutting(texts), self._finding(texts)
        cut = list(cutting) if inline else await in_steps(cutting)
        spans: list[list[Span]] = [[] for _ in texts]
        for number, found in list(finding) if inline else await in_steps(finding):
            spans[number] += found
        scores = await self._scorer.score([window for each in cut for window in each])
        bounds = pairwise(accumulate((len(each) for each in cut), initial=0))
        return [
            Inspection(tuple(scores[begin:end].max(axis=0).tolist()), tuple(of_text))
            for (begin, end), of_text in zip(bounds, spans, strict=True)
        ]

    def _cutting(self, texts: Sequence[str]) -> Iterator[list[str]]:
        return (passages(text, self._window_size) for text in texts)

    def _finding(self, texts: Sequence[str]) -> Iterator[tuple[int, list[Span]]]:
        """What each finder finds in each text, and the text's number."""
        return (
            (number, finder.find(text))
            for number, text in enumerate(texts)
            for finder in self._finders
        )
