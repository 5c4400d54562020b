"""Decides, by a policy, what becomes of what was read."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from services.moderation.api import (
    CATEGORIES,
    Action,
    Direction,
    Grown,
    Release,
    TextTooLong,
    Verdict,
)
from services.moderation.policy import Policy
from services.moderation.ports import Finder, Reader, Reading, Scorer
from services.moderation.rules import Rulebook
from services.moderation.watcher import Watcher


class Screener:
    """Screens whole texts and watches growing ones. What fails in between fails the call."""

    def __init__(
        self, reader: Reader, scorer: Scorer, finders: Sequence[Finder], policy: Policy
    ) -> None:
        self._reader = reader
        self._scorer = scorer
        self._policy = policy
        self._rulebooks = {
            direction: Rulebook(finders, policy.side(direction)) for direction in Direction
        }

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        for text in texts:
            self._check_length(len(text))
        readings = await self._reader.read(texts)
        return [
            self._judge(text, reading, direction)
            for text, reading in zip(texts, readings, strict=True)
        ]

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        watcher = Watcher(self._scorer, self._rulebooks[Direction.OUTPUT], self._policy)
        length = 0
        async for grown in reply:
            length += len(grown.text)
            self._check_length(length)
            release = await watcher.grow(grown)
            yield release
            if grown.final or release.blocked_by:
                return

    def _check_length(self, length: int) -> None:
        limit = self._policy.max_chars
        if length > limit:
            raise TextTooLong(f"{length} characters, at most {limit}", max_chars=str(limit))

    def _judge(self, text: str, reading: Reading, direction: Direction) -> Verdict:
        side, rulebook = self._policy.side(direction), self._rulebooks[direction]
        scores = dict(zip(CATEGORIES, reading.scores, strict=True))
        flagged, spans = side.flagged(reading.scores), reading.spans
        if blocked_by := side.blocking(reading.scores) or rulebook.blocked_by(spans):
            return Verdict(Action.BLOCK, scores, flagged, blocked_by, spans)
        if masked := rulebook.masked(spans):
            rewritten = rulebook.rewrite(text, masked)
            return Verdict(Action.REWRITE, scores, flagged, spans=spans, text=rewritten)
        return Verdict(Action.PASS, scores, flagged, spans=spans)
