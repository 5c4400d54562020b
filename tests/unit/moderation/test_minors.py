import numpy as np
import pytest

from services.moderation.api import CATEGORIES
from services.moderation.minors import compose_minors

SEXUAL, MINORS = CATEGORIES.index("sexual"), CATEGORIES.index("sexual/minors")


def composed(window: str, sexual: float, by_reader: float | None = None) -> float:
    scores = np.zeros((1, len(CATEGORIES)), np.float32)
    scores[0, SEXUAL] = sexual
    scores[0, MINORS] = sexual if by_reader is None else by_reader
    compose_minors([window], scores)
    return float(scores[0, MINORS])


@pytest.mark.parametrize(
    "window", ["a 12-year-old", "she is 15.", "9 yo", "the toddler", "underage"]
)
def test_a_minor_is_known_by_age_or_word(window: str) -> None:
    assert composed(window, 0.5) == 0.5


@pytest.mark.parametrize("window", ["a 32-year-old", "18 years old", "adults only", "kidding"])
def test_an_adult_is_none(window: str) -> None:
    assert composed(window, 1.0) == 0


def test_words_for_young_adults_count_for_less() -> None:
    assert 0 < composed("a high school teacher", 1.0) < 0.5


def test_a_minor_in_harmless_text_scores_little() -> None:
    assert composed("the toddler sleeps", 0.02) < 0.03


def test_what_only_the_heads_find_sexual_counts_half() -> None:
    assert composed("a 12-year-old", 0.7, by_reader=0.1) == pytest.approx(0.35)
