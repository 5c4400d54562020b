"""About how many bytes items take."""

import pytest

from services.gateway.sizes import item_size, items_size
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Item,
    Message,
    Picture,
    Reasoning,
    Role,
    Text,
    said,
)


@pytest.mark.parametrize(
    "item",
    [
        said("m", Role.USER, "x" * 100),
        Message("m", Role.USER, (Picture("image/png", b"x" * 100),)),
        Call("c", "c", "f", "x" * 100),
        Call("c", "c", "f", "", outcome=CallOutcome((Text("x" * 100),))),
        CallResult("r", "c", (Text("x" * 100),)),
        Reasoning("r", "x" * 100),
    ],
)
def test_what_an_item_holds_is_counted(item: Item) -> None:
    assert 100 <= item_size(item) <= 300
    assert items_size([item, item]) == 2 * item_size(item)
