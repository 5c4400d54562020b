"""How near a text's vector is to known passages."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.moderation.adapters.heads import Heads, HeadStage, Vectors, open_heads
from services.moderation.api import CATEGORIES

NORTH, EAST, SOUTH = [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]


def rows(*values: Sequence[float]) -> Vectors:
    return np.array(values, np.float32)


# A passage to the north speaks for the first category, one to the east for the second.
HEADS = Heads(rows(NORTH, EAST), rows([6, 0], [0, 6]), rows([-3, -3])[0], gamma=2)


class Compass:
    async def embed(self, texts: Sequence[str]) -> Vectors:
        return rows(*({"north": NORTH, "east": EAST, "south": SOUTH}[text] for text in texts))


def test_a_passage_speaks_for_its_category_and_no_other() -> None:
    scores = HEADS.scores(rows(NORTH, EAST, SOUTH))
    assert (scores > 0.5).tolist() == [[True, False], [False, True], [False, False]]


def test_at_a_passage_only_its_weight_and_the_bias_count() -> None:
    near, far = HEADS.scores(rows(NORTH))[0]
    assert near == pytest.approx(1 / (1 + np.exp(-3)))
    assert far == pytest.approx(1 / (1 + np.exp(3 - 6 * np.exp(-4))))


async def test_windows_are_embedded_and_scored_in_order() -> None:
    scores = await HeadStage(Compass(), HEADS).score(["east", "north"])
    assert scores.argmax(axis=1).tolist() == [1, 0]


def test_the_bundled_heads_know_every_category() -> None:
    vector = np.zeros((1, 384), np.float32)
    vector[0, 0] = 1
    scores = open_heads().scores(vector)
    assert scores.shape == (1, len(CATEGORIES))
    assert ((scores >= 0) & (scores <= 1)).all()
