from collections.abc import Sequence

import numpy as np
import pytest

from services.moderation.api import CATEGORIES
from services.moderation.cascade import Cascade
from services.moderation.phrasebook import Phrasebook
from services.moderation.ports import Scores

HATE = CATEGORIES.index("hate")


class Counting:
    """Gives every window that holds its word its score; remembers what it was asked."""

    def __init__(self, word: str, score: float) -> None:
        self._word = word
        self._score = score
        self.asked: list[str] = []

    def score(self, windows: Sequence[str]) -> Scores:
        self.asked += windows
        scores = np.zeros((len(windows), len(CATEGORIES)), np.float32)
        scores[:, HATE] = [self._score if self._word in window else 0 for window in windows]
        return scores


class Later(Counting):
    async def score(self, windows: Sequence[str]) -> Scores:  # type: ignore[override]
        return super().score(windows)


def cascade(first: Counting, second: Later) -> Cascade:
    return Cascade(first, second, Phrasebook({"illicit": ["nightfall"]}), clear_below=0.1)


async def test_what_the_first_stage_clears_costs_no_second() -> None:
    first, second = Counting("odd", 0.05), Later("odd", 0.9)
    scores = await cascade(first, second).score(["odd", "even"])
    assert second.asked == []
    assert scores[:, HATE].tolist() == pytest.approx([0.05, 0])


async def test_the_second_stage_has_the_last_word_on_what_is_in_doubt() -> None:
    first, second = Counting("odd", 0.1), Later("very odd", 0.9)
    scores = await cascade(first, second).score(["odd", "even", "very odd"])
    assert second.asked == ["odd", "very odd"]
    assert scores[:, HATE].tolist() == pytest.approx([0, 0, 0.9])


async def test_many_windows_are_scored_as_few_are() -> None:
    first, second = Counting("odd", 0.1), Later("odd", 0.9)
    scores = await cascade(first, second).score(["even"] * 50 + ["odd"])
    assert scores[50, HATE] == pytest.approx(0.9)
    assert scores[:50].sum() == 0


async def test_an_operators_phrase_needs_no_stage() -> None:
    scores = await cascade(Counting("-", 0), Later("-", 0)).score(["at Nightfall"])
    assert scores[0, CATEGORIES.index("illicit")] == 1
