"""Words and phrases that an operator adds to the categories."""

import unicodedata
from collections.abc import Mapping, Sequence

import re2  # type: ignore[import-untyped]

from services.moderation.api import CATEGORIES
from services.moderation.legible import legible
from services.moderation.ports import Scores


class Phrasebook:
    """Gives a window the score 1 where it holds a phrase. Case does not matter; words are whole."""

    def __init__(self, phrases: Mapping[str, Sequence[str]]) -> None:
        self._patterns = [
            (CATEGORIES.index(category), _pattern(listed))
            for category, listed in phrases.items()
            if listed
        ]

    def mark(self, windows: Sequence[str], scores: Scores) -> None:
        if not self._patterns:
            return
        for row, window in enumerate(windows):
            folded = _folded(window)
            for column, pattern in self._patterns:
                if pattern.search(folded):
                    scores[row, column] = 1


def _pattern(phrases: Sequence[str]) -> re2._Regexp:
    return re2.compile("|".join(_whole(_folded(legible(phrase))) for phrase in phrases))


def _whole(phrase: str) -> str:
    """RE2 sees the edge of a word only next to ASCII. Other phrases are also found inside words."""
    before = r"\b" if phrase[0].isascii() and phrase[0].isalnum() else ""
    after = r"\b" if phrase[-1].isascii() and phrase[-1].isalnum() else ""
    return f"{before}{re2.escape(phrase)}{after}"


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
