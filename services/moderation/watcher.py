"""Follows one reply as it grows, and says what of it may be shown."""

from services.moderation.api import Grown, Release, Span
from services.moderation.policy import Policy
from services.moderation.ports import WindowScorer
from services.moderation.rules import Rulebook
from services.moderation.windows import count_words, last_gap, last_words, passages

# How many characters of what was shown are kept, since rules also look at text before a find.
_LOOK_BACK = 2_000
# A last word is held back up to this many characters. A longer secret may be shown in part.
_LONGEST_WORD = 4_096
# A long text that is held back is read again once it has grown by a fourth, so that a reply of
# which nothing is settled for long takes no more work than any other.
_GROWTH = 1 / 4


class Watcher:
    """Holds text back until its window was scored and later text cannot make a rule find it."""

    def __init__(self, scorer: WindowScorer, rulebook: Rulebook, policy: Policy) -> None:
        self._scorer = scorer
        self._rulebook = rulebook
        self._policy = policy
        # The last characters that were shown, and then all that were not. `_shown` and `_scored`
        # say up to where it was shown and scored.
        self._text = ""
        self._shown = 0
        self._scored = 0
        self._releases = 0
        # How long the text has to be before rules read it again.
        self._read_again = 0

    async def grow(self, grown: Grown) -> Release:
        self._text += grown.text
        fresh = count_words(self._text[self._scored :])
        wanted = self._policy.release_after(self._releases)
        # Callers may count spaces, and n words have only n - 1 spaces between them.
        if fresh + 1 < wanted and not grown.final:
            return Release("", next_words=wanted - fresh)
        if fresh and not grown.judged and (category := await self._blocking_category()):
            return Release("", blocked_by=category)
        if len(self._text) < self._read_again and not grown.final:
            self._scored = len(self._text)
            return Release("", next_words=wanted)
        return self._release(final=grown.final)

    async def _blocking_category(self) -> str:
        """Scores the new text together with the last words before it."""
        before = last_words(self._text[: self._scored], self._policy.window_size.overlap)
        fresh = self._text[self._scored :]
        scores = await self._scorer.score(passages(before + fresh, self._policy.window_size))
        return self._policy.output.blocking(scores.max(axis=0).tolist())

    def _release(self, *, final: bool) -> Release:
        line = self._line_begin()
        found = [
            Span(max(line + span.start, self._shown), line + span.end, span.rule)
            for span in self._rulebook.find(self._text[line:])
            if line + span.end > self._shown
        ]
        end = len(self._text) if final else self._settled(line, found)
        settled = [span for span in found if span.end <= end]
        if rule := self._rulebook.blocked_by(settled):
            return Release("", blocked_by=rule)
        released = self._rewritten(settled, end)
        self._advance(end)
        return Release(released, next_words=self._policy.release_after(self._releases))

    def _line_begin(self) -> int:
        """Where the line begins that stands above the line of the first unshown character.

        A line that ends with a backslash and the next one are one line.
        """
        begin = self._text.rfind("\n", 0, self._shown)
        begin = self._text.rfind("\n", 0, max(begin, 0)) + 1
        while begin > 1 and self._text[begin - 2] == "\\":
            begin = self._text.rfind("\n", 0, begin - 1) + 1
        return begin

    def _settled(self, line: int, found: list[Span]) -> int:
        gap = last_gap(self._text)
        if len(self._text) - gap > _LONGEST_WORD:
            gap = len(self._text)
        end = min(gap, line + self._rulebook.settled(self._text[line:]))
        for span in sorted(found, key=lambda span: span.start, reverse=True):
            if span.start < end < span.end:
                end = span.start
        return max(end, self._shown)

    def _rewritten(self, spans: list[Span], end: int) -> str:
        shifted = [Span(s.start - self._shown, s.end - self._shown, s.rule) for s in spans]
        masked = self._rulebook.masked(shifted)
        return self._rulebook.rewrite(self._text[self._shown : end], masked)

    def _advance(self, end: int) -> None:
        forgotten = max(0, end - _LOOK_BACK)
        self._scored = len(self._text) - forgotten
        self._shown = end - forgotten
        self._text = self._text[forgotten:]
        self._releases += 1
        held = len(self._text) - self._shown
        self._read_again = len(self._text) + int(max(0, held - _LOOK_BACK) * _GROWTH)
