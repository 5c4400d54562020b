import numpy as np
import pytest

from services.moderation.api import CATEGORIES
from services.moderation.phrasebook import Phrasebook

ILLICIT = CATEGORIES.index("illicit")


@pytest.mark.parametrize(
    ("window", "marked"),
    [
        ("about Project  Nightfall, quickly", True),
        ("PROJECT\nNIGHTFALL", True),
        ("ｐｒｏｊｅｃｔ nightfall", True),
        ("project nightfalls", False),
        ("subproject nightfall", False),
        ("这是秘密计划啊", True),
        ("C++?", True),
    ],
)
def test_a_window_that_holds_a_phrase_scores_one(window: str, marked: bool) -> None:
    scores = np.zeros((1, len(CATEGORIES)), np.float32)
    Phrasebook({"illicit": ["project nightfall", "秘密计划", "c++"], "hate": []}).mark(
        [window], scores
    )
    assert scores[0, ILLICIT] == (1 if marked else 0)
    assert scores.sum() == scores[0, ILLICIT]
