"""A second opinion of vectors and words."""

import numpy as np

from services.moderation.adapters.ngrams import BUCKETS, Ngrams
from services.moderation.adapters.opinion import Opinion, open_opinion
from services.moderation.api import CATEGORIES
from services.moderation.ports import Scores


def floats(values: object) -> Scores:
    return np.array(values, np.float32)


def test_units_that_point_away_say_nothing_and_words_are_added() -> None:
    silent = Ngrams(np.zeros((BUCKETS, 2), np.int8), floats([1, 1]), floats([0.5, 0]))
    opinion = Opinion(
        hidden=floats([[1, -1]]),
        hidden_bias=floats([0, 0]),
        out=floats([[2, 0], [0, 3]]),
        bias=floats([0, 1]),
        words=silent,
    )
    assert opinion.margins(floats([[1], [-1]]), ["a", "b"]).tolist() == [[2.5, 1], [0.5, 4]]


def test_the_bundled_opinion_knows_every_category() -> None:
    margins = open_opinion().margins(np.eye(2, 384, dtype=np.float32), ["one text", "another"])
    assert margins.shape == (2, len(CATEGORIES))
    assert np.isfinite(margins).all()
