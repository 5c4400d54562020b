"""How near a text's vector is to known passages."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.moderation.adapters.heads import (
    ALONE,
    INSTRUCTIONS,
    Heads,
    HeadStage,
    Vectors,
    combined,
    open_heads,
)
from services.moderation.adapters.reader import Reading
from services.moderation.api import CATEGORIES

MINORS = CATEGORIES.index("sexual/minors")
NORTH, EAST, SOUTH = [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]


def rows(*values: Sequence[float]) -> Vectors:
    return np.array(values, np.float32)


WIDTH = len(CATEGORIES)


def heads(weight: float) -> Heads:
    """A passage to the north speaks for the first category, one to the east for the second."""
    weights = np.zeros((2, WIDTH), np.float32)
    weights[0, 0] = weights[1, 1] = weight
    return Heads(rows(NORTH, EAST), weights, np.full(WIDTH, -3, np.float32), gamma=2)


class Compass:
    """A reader that is sure of "north" in the first category, and of nothing else."""

    async def read(self, windows: Sequence[str]) -> Reading:
        vectors = rows(*({"north": NORTH, "east": EAST}[window] for window in windows))
        margins = np.full((len(windows), WIDTH), -4, np.float32)
        margins[[window == "north" for window in windows], 0] = 4
        return Reading(vectors, margins)


def test_a_passage_speaks_for_its_category_and_no_other() -> None:
    margins = heads(6).margins(rows(NORTH, EAST, SOUTH))
    assert (margins > 0)[:, :3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_at_a_passage_only_its_weight_and_the_bias_count() -> None:
    near, far = heads(6).margins(rows(NORTH))[0, :2]
    assert near == pytest.approx(3)
    assert far == pytest.approx(6 * np.exp(-4) - 3)


async def test_windows_are_read_and_scored_in_order() -> None:
    scores = await HeadStage(Compass(), heads(6)).score(["east", "north"])
    assert scores.argmax(axis=1).tolist() == [1, 0]


async def test_the_heads_alone_never_come_to_where_the_policy_blocks() -> None:
    north, east = await HeadStage(Compass(), heads(60)).score(["north", "east"])
    assert north[0] == pytest.approx(1 / (1 + np.exp(-4)))
    assert 0.78 < east[1] <= np.float32(ALONE)


async def test_among_many_sentences_the_reader_must_be_surer() -> None:
    class Sure:
        async def read(self, windows: Sequence[str]) -> Reading:
            return Reading(rows(*(EAST for _ in windows)), np.full((len(windows), WIDTH), 6.0))

    few, many = await HeadStage(Sure(), heads(6)).score(["one. two.", "one. two. three."])
    assert few[0] > 0.9
    assert many[0] < ALONE


async def test_in_a_clause_the_reader_must_be_surer() -> None:
    clause = "tools that are there for me and how do I end it"
    (unsure,), (sure,) = await asking(4, 6).score([clause]), await asking(5, 6).score([clause])
    assert unsure[INSTRUCTIONS] <= np.float32(ALONE) < sure[INSTRUCTIONS]


@pytest.mark.parametrize(
    ("window", "of_self_harm", "blocked"),
    [
        ("how do I end it", 0, True),
        ("how do I end it", -1, False),
        ("how do I end it all for me alone tonight", -1, True),
        ("how do I end it all for me alone tonight", -4, False),
        ("without what would end it", 0, False),
    ],
)
async def test_a_way_to_die_is_asked_for_by_somebody_and_near_to_self_harm(
    window: str, of_self_harm: float, blocked: bool
) -> None:
    (scores,) = await asking(6, of_self_harm).score([window])
    assert (scores[INSTRUCTIONS] > ALONE) == blocked


def asking(margin: float, of_self_harm: float) -> HeadStage:
    """By its reader all windows ask for a way to die; its heads find so much of self-harm."""

    class Sure:
        async def read(self, windows: Sequence[str]) -> Reading:
            margins = np.full((len(windows), WIDTH), -4.0)
            margins[:, INSTRUCTIONS] = margin
            return Reading(rows(*(SOUTH for _ in windows)), margins)

    bias = np.full(WIDTH, of_self_harm, np.float32)
    return HeadStage(Sure(), Heads(rows(NORTH), np.zeros((1, WIDTH), np.float32), bias, gamma=2))


@pytest.mark.parametrize(("margin", "blocked"), [(-0.4, True), (-0.6, False)])
async def test_a_plain_form_counts_where_the_reader_does_not_speak_against_it(
    margin: float, blocked: bool
) -> None:
    plain, other = await asking(margin, -4).score(["how do I kill myself", "how do I end it all"])
    assert (plain[INSTRUCTIONS] > ALONE) == blocked
    assert other[INSTRUCTIONS] < 0.1


async def test_what_has_no_other_use_is_not_told_of_whatever_the_reader_says() -> None:
    (scores,) = await asking(-6, -4).score(["how do I build an exit bag"])
    assert scores[INSTRUCTIONS] > ALONE


async def test_a_refusal_is_not_what_it_refuses() -> None:
    refusal, question = await asking(6, 6).score(
        ["I can't tell you how to kill yourself.", "Tell me how to kill myself."]
    )
    of_self_harm = [n for n, name in enumerate(CATEGORIES) if name.startswith("self-harm")]
    assert refusal[of_self_harm].max() <= np.float32(ALONE) < question[INSTRUCTIONS]


def test_a_flag_of_the_heads_stays_whatever_the_reader_says() -> None:
    scores = combined(np.array([[0.1, -0.1, -3] + [0] * 10]), np.full((1, WIDTH), 1.0))[0]
    assert scores[0] > 0.5
    assert scores[1:3].tolist() == pytest.approx([1 / (1 + np.exp(0.1)), 1 / (1 + np.exp(3))])


def test_only_the_reader_speaks_for_the_category_that_is_composed() -> None:
    scores = combined(np.full((1, WIDTH), 9.0), np.full((1, WIDTH), -1.0))[0]
    assert scores[MINORS] == pytest.approx(1 / (1 + np.e))


def test_the_bundled_heads_know_every_category() -> None:
    margins = open_heads().margins(np.eye(1, 384, dtype=np.float32))
    assert margins.shape == (1, len(CATEGORIES))
    assert np.isfinite(margins).all()
