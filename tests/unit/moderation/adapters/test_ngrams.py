"""The first stage, with the bundled weights."""

import numpy as np
import pytest

from services.moderation.adapters.ngrams import (
    CLEAR_BELOW,
    NgramStage,
    features,
    fold,
    open_ngrams,
)
from services.moderation.api import CATEGORIES

STAGE = NgramStage(open_ngrams())


def test_case_layout_and_the_form_of_letters_do_not_matter() -> None:
    assert fold("Hello,\n WORLD") == fold("hello world") == fold("ｈｅｌｌｏ world")


def test_a_window_has_the_same_buckets_whatever_stands_beside_it() -> None:
    together, begins = features(["good morning", "how are you"])
    alone, _ = features(["how are you"])
    assert sorted(together[begins[1] :]) == sorted(alone)


@pytest.mark.parametrize("window", ["", " ", "\0", "\ud800", "好", "🎉"])
def test_every_window_has_the_same_scores_wherever_it_stands(window: str) -> None:
    alone = STAGE.score([window])
    first, last = STAGE.score([window, "good morning"]), STAGE.score(["good morning", window])
    assert alone.shape == (1, len(CATEGORIES))
    assert np.isfinite(alone).all()
    assert np.array_equal(alone[0], first[0])
    assert np.array_equal(alone[0], last[1])


def test_small_talk_is_cleared_and_a_threat_is_not() -> None:
    harmless, threat = STAGE.score(["set a timer for ten minutes", "I will kill you tonight"])
    assert harmless.max() < CLEAR_BELOW <= threat.max()
