"""What a store does to a turn's items when something is erased."""

from dataclasses import replace

import pytest

from services.context_assembly.compactions import (
    compacts,
    stands_for_others,
    uncompacted,
    without_item,
)
from services.shared.conversation import Compaction, Item
from tests.fakes.context_assembly import assistant, recorded, user

SUMMARY, FOREIGN = Compaction("c1", "They met."), Compaction("c2", opaque="sealed")


@pytest.mark.parametrize(
    ("item", "stands"), [(SUMMARY, True), (FOREIGN, False), (user("hi"), False)]
)
def test_an_item_stands_for_others_where_the_model_can_read_it(item: Item, stands: bool) -> None:
    assert stands_for_others(item) is stands
    assert compacts(recorded("t", answered=[item])) is stands
    assert compacts(recorded("t", said=[item])) is stands


def test_all_compaction_items_are_taken_away() -> None:
    turn = recorded("t", said=[SUMMARY, user("hi")], answered=[FOREIGN, assistant("so")])
    assert uncompacted(turn) == recorded("t", said=[user("hi")], answered=[assistant("so")])
    plain = recorded("t")
    assert uncompacted(plain) is plain


def test_an_item_is_taken_out_of_input_or_output() -> None:
    turn = recorded("t", said=[user("one"), user("two")], answered=[assistant("so")])
    assert without_item(turn, user("one").id) == replace(turn, input=[user("two")])
    assert without_item(turn, assistant("so").id) == replace(turn, output=[])
    assert without_item(turn, "msg_other") is None
