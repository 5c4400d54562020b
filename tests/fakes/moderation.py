"""Moderations that judge a text by words in it, so that tests say what is found."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import numpy as np

from services.moderation.api import (
    CATEGORIES,
    Direction,
    Grown,
    Moderation,
    Release,
    Span,
    Verdict,
)
from services.moderation.inspector import TextInspector
from services.moderation.policy import Policy
from services.moderation.ports import Finder, Scores
from services.moderation.screener import Screener
from services.moderation.wiring import open_finders

FINDERS: Sequence[Finder] = open_finders()


# The score that a word has in a category.
WORDS: Mapping[str, tuple[str, float]] = {"vile": ("violence", 0.9), "rude": ("harassment", 0.6)}


class WordScorer:
    """A `WindowScorer` that knows a few words. `broken` makes it fail. Keeps the windows it saw."""

    def __init__(self, words: Mapping[str, tuple[str, float]] = WORDS) -> None:
        self.windows: list[str] = []
        self._words = words

    async def score(self, windows: Sequence[str]) -> Scores:
        self.windows += windows
        scores = np.zeros((len(windows), len(CATEGORIES)), np.float32)
        for row, window in enumerate(windows):
            if "broken" in window:
                raise RuntimeError("CANARY what the user said")
            for word, (category, score) in self._words.items():
                scores[row, CATEGORIES.index(category)] = score if word in window else 0.1
        return scores


class WordFinder:
    """A `Finder` of one word, by a rule of the same family's name."""

    def __init__(self, word: str, rule: str) -> None:
        self._word = word
        self.family = rule
        self.rules = frozenset({rule})

    def find(self, text: str) -> list[Span]:
        spans = []
        at = text.find(self._word)
        while at >= 0:
            end = at + len(self._word)
            spans.append(Span(at, end, self.family))
            at = text.find(self._word, end)
        return spans

    def settled(self, text: str) -> int:
        """Before the beginning of the word, if the text ends with one."""
        begun = (n for n in range(len(self._word) - 1, 0, -1) if text.endswith(self._word[:n]))
        return len(text) - next(begun, 0)


def policy(
    *,
    max_chars: int = 100_000,
    max_request_chars: int = 1_000_000,
    release_after_words: Sequence[int] = (8, 24, 40),
    input_rules: dict[str, str] | None = None,
    output_rules: dict[str, str] | None = None,
) -> Policy:
    """Violence blocks, harassment is flagged, both ways; secrets are masked by default."""
    categories = {"violence": {"flag": 0.5, "block": 0.8}, "harassment": {"flag": 0.5}}
    usual = {"secrets": "mask"}
    return Policy.model_validate(
        {
            "max_chars": max_chars,
            "max_request_chars": max_request_chars,
            "windows": {"words": 40, "overlap": 10},
            "release_after_words": release_after_words,
            "phrases": {},
            "input": {"categories": categories, "rules": input_rules or usual},
            "output": {"categories": categories, "rules": output_rules or usual},
        }
    )


def screener(kept: Policy, scorer: WordScorer | None = None) -> Screener:
    scorer = scorer or WordScorer()
    return Screener(TextInspector(scorer, FINDERS, kept.window_size), scorer, FINDERS, kept)


class WordModeration:
    """Blocks a text with the word `forbidden` as violence, and rewrites `secret` to `[masked]`.

    It is moderation's own core with a classifier and a rule that know one word each. So it holds
    back the end of a reply as every moderation does. It counts what it is asked.
    """

    def __init__(self, words_at_once: int = 4) -> None:
        self.screened: list[str] = []
        self.watching = 0
        masked = {"masked": "mask"}
        kept = policy(release_after_words=[words_at_once], input_rules=masked, output_rules=masked)
        scorer = WordScorer({"forbidden": ("violence", 1.0)})
        finders = [WordFinder("secret", "masked")]
        inspector = TextInspector(scorer, finders, kept.window_size)
        self._screener = Screener(inspector, scorer, finders, kept)

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self.screened += texts
        return await self._screener.screen(texts, direction)

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        self.watching += 1
        try:
            async with aclosing(self._screener.watch(reply)) as releases:
                async for release in releases:
                    yield release
        finally:
            self.watching -= 1


async def watched(moderation: Moderation, *chunks: str) -> list[Release]:
    """The releases for chunks, the last of which is final."""

    async def reply() -> AsyncIterator[Grown]:
        for number, chunk in enumerate(chunks, 1):
            yield Grown(chunk, final=number == len(chunks))

    return [release async for release in moderation.watch(reply())]


def shown(releases: Sequence[Release]) -> str:
    return "".join(release.text for release in releases)
