"""Other processes make the same blocks as this one would, in order."""

from contextlib import closing
from functools import partial
from itertools import islice

import pytest

from services.inference.demo_model.batches import Batcher
from services.inference.demo_model.generator.composer import SHORT, Composer
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.outside import NOTHING_OUTSIDE
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.rendering import MODEL_FOLDER, ChatEncoder
from services.inference.demo_model.supply import Order, blocks


def make_batcher(words: list[str]) -> Batcher:
    composer = Composer(Lexicon(words, Split.TRAINING), Split.TRAINING, NOTHING_OUTSIDE)
    return Batcher(composer, ChatEncoder.load(MODEL_FOLDER), tokens=512, seed=3)


def ordered(number: int) -> Order:
    return Order(SHORT, {"greet": number})


@pytest.mark.parametrize("makers", [0, 2])
def test_blocks_come_in_order_from_the_first_wanted(words: list[str], makers: int) -> None:
    supply = blocks(partial(make_batcher, words), ordered, first=4, makers=makers)
    with closing(supply):
        taken = list(islice(supply, 3))
    here = make_batcher(words)
    for number, block in enumerate(taken, 4):
        expected = here.block(number, SHORT, {"greet": number})
        assert [b.ids.tolist() for b in block] == [b.ids.tolist() for b in expected]
