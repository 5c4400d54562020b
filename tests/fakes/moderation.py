"""A moderation whose scores are words in the text, so that tests say what is seen."""

from collections.abc import AsyncIterator, Sequence

import numpy as np

from services.moderation.adapters.hidden import HiddenFinder
from services.moderation.adapters.injection import InjectionFinder
from services.moderation.adapters.personal import PersonalFinder
from services.moderation.adapters.secrets import open_secrets
from services.moderation.api import CATEGORIES, Grown, Moderation, Release
from services.moderation.policy import Policy
from services.moderation.ports import Finder, Scores
from services.moderation.reader import TextReader
from services.moderation.screener import Screener

FINDERS: Sequence[Finder] = (open_secrets(), PersonalFinder(), HiddenFinder(), InjectionFinder())


class WordScorer:
    """`vile` scores .9 in violence, `rude` .6 in harassment; `broken` breaks. Keeps what it saw."""

    def __init__(self) -> None:
        self.windows: list[str] = []

    async def score(self, windows: Sequence[str]) -> Scores:
        self.windows += windows
        scores = np.zeros((len(windows), len(CATEGORIES)), np.float32)
        for row, window in enumerate(windows):
            if "broken" in window:
                raise RuntimeError("CANARY what the user said")
            scores[row, CATEGORIES.index("violence")] = 0.9 if "vile" in window else 0.1
            scores[row, CATEGORIES.index("harassment")] = 0.6 if "rude" in window else 0.1
        return scores


def policy(
    *,
    max_chars: int = 100_000,
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
            "windows": {"words": 40, "overlap": 10},
            "release_after_words": release_after_words,
            "phrases": {},
            "input": {"categories": categories, "rules": input_rules or usual},
            "output": {"categories": categories, "rules": output_rules or usual},
        }
    )


def screener(kept: Policy, scorer: WordScorer | None = None) -> Screener:
    scorer = scorer or WordScorer()
    return Screener(TextReader(scorer, FINDERS, kept.windowing), scorer, FINDERS, kept)


async def watched(moderation: Moderation, *chunks: str) -> list[Release]:
    """The releases for chunks, the last of which is final."""

    async def reply() -> AsyncIterator[Grown]:
        for number, chunk in enumerate(chunks, 1):
            yield Grown(chunk, final=number == len(chunks))

    return [release async for release in moderation.watch(reply())]


def shown(releases: Sequence[Release]) -> str:
    return "".join(release.text for release in releases)
