"""Decides by a policy whether a text passes, is rewritten or is blocked."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from services.moderation.api import (
    CATEGORIES,
    Action,
    Direction,
    Grown,
    Release,
    TextsTooLong,
    TextTooLong,
    Verdict,
)
from services.moderation.policy import Policy
from services.moderation.ports import Finder, Inspection, Inspector, WindowScorer
from services.moderation.rules import Rulebook
from services.moderation.watcher import Watcher


class Screener:
    """Screens whole texts and watches growing ones. A failure of any step fails the call."""

    def __init__(
        self, inspector: Inspector, scorer: WindowScorer, finders: Sequence[Finder], policy: Policy
    ) -> None:
        self._inspector = inspector
        self._scorer = scorer
        self._policy = policy
        self._rulebooks = {
            direction: Rulebook(finders, policy.for_direction(direction)) for direction in Direction
        }

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self._check_sum(sum(map(len, texts)))
        for text in texts:
            self._check_length(len(text))
        inspections = await self._inspector.inspect(texts)
        return [
            self._judge(text, inspection, direction)
            for text, inspection in zip(texts, inspections, strict=True)
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

    def _check_sum(self, length: int) -> None:
        limit = self._policy.max_request_chars
        if length > limit:
            raise TextsTooLong(
                f"{length} characters in all texts, at most {limit} (max_request_chars)",
                max_request_chars=str(limit),
            )

    def _check_length(self, length: int) -> None:
        limit = self._policy.max_chars
        if length > limit:
            raise TextTooLong(
                f"{length} characters, at most {limit} (max_chars)", max_chars=str(limit)
            )

    def _judge(self, text: str, inspection: Inspection, direction: Direction) -> Verdict:
        policy, rulebook = self._policy.for_direction(direction), self._rulebooks[direction]
        scores = dict(zip(CATEGORIES, inspection.scores, strict=True))
        flagged, spans = policy.flagged(inspection.scores), inspection.spans
        if blocked_by := policy.blocking(inspection.scores) or rulebook.blocked_by(spans):
            return Verdict(Action.BLOCK, scores, flagged, blocked_by, spans)
        if masked := rulebook.masked(spans):
            rewritten = rulebook.rewrite(text, masked)
            return Verdict(Action.REWRITE, scores, flagged, spans=spans, text=rewritten)
        return Verdict(Action.PASS, scores, flagged, spans=spans)
