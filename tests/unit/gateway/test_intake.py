"""What a request brings, as the turn takes it in."""

from itertools import count

import pytest

from services.gateway.api import Ask, InvalidRequest
from services.gateway.intake import seal, with_ids, with_unsealed
from services.gateway.sealing import Sealer
from services.shared.conversation import (
    Call,
    CallResult,
    Compaction,
    Item,
    Message,
    Reasoning,
    Role,
    Text,
    said,
)
from services.shared.ids import make_response_id, response_of

RESPONSE = make_response_id("")
ITEMS: dict[str, Item] = {
    "msg": Message("", Role.USER, (Text("a"),)),
    "fc": Call("", "c", "n", "{}"),
    "fco": CallResult("", "c", (Text("a"),)),
    "rs": Reasoning("", "a"),
    "cmp": Compaction("", "a"),
}


def test_items_without_an_id_get_one_that_holds_their_responses_digits() -> None:
    given = with_ids(Ask("demo", (*ITEMS.values(), *ITEMS.values())), RESPONSE).input
    assert [item.id.partition("_")[0] for item in given] == [*ITEMS, *ITEMS]
    assert len({item.id for item in given}) == len(given)
    assert {response_of(item.id) for item in given} == {RESPONSE}


def test_an_id_tells_one_item() -> None:
    """A list that is read page by page, behind an id, would never end otherwise."""
    items = tuple(said("x", Role.USER, text) for text in "abc")
    given = with_ids(Ask("demo", items), RESPONSE).input
    assert [item.text for item in given if isinstance(item, Message)] == ["a", "b", "c"]
    assert given[0].id == "x"
    assert len({item.id for item in given}) == len(given)
    assert {response_of(item.id) for item in given[1:]} == {RESPONSE}


def test_the_callers_own_ids_stay() -> None:
    ask = Ask("demo", (said("mine", Role.USER, "a"),))
    assert with_ids(ask, RESPONSE) is ask
    mixed = with_ids(Ask("demo", (*ask.input, ITEMS["msg"])), RESPONSE)
    assert mixed.input[0] == ask.input[0]
    assert mixed.input[1].id


ADA = Sealer(b"secret", "acct_1")


def given(*sealed: str) -> Ask:
    thoughts = (
        Reasoning(f"rs_{number}", "shown", opaque=text) for number, text in enumerate(sealed)
    )
    return Ask("demo", (said("msg_0", Role.USER, "a"), *thoughts))


def test_reasoning_that_was_sealed_here_is_read_again() -> None:
    sealed = seal(ADA, "2+2")
    ask = given(sealed, "")
    _, opened, plain = with_unsealed(ask, ADA).input
    assert opened == Reasoning("rs_0", "2+2", opaque=sealed)
    assert plain == ask.input[2]


@pytest.mark.parametrize(
    "sealed",
    [
        seal(Sealer(b"secret", "acct_2"), "2+2"),
        seal(Sealer(b"other", "acct_1"), "2+2"),
        ADA.seal("other kind", "2+2"),
        "gAAAAABo" + "x" * 90,
        "\u00e9",
        "x",
    ],
    ids=count(),
)
def test_reasoning_that_was_sealed_elsewhere_or_changed_is_refused(sealed: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_unsealed(given("", sealed), ADA)
    assert caught.value.details["param"] == "input[2].encrypted_content"


def test_a_seal_that_was_changed_anywhere_is_refused() -> None:
    whole = seal(ADA, "2+2")
    # Some bits of the last digit stand for nothing.
    for place in range(len(whole) - 1):
        changed = "A" if whole[place] != "A" else "B"
        with pytest.raises(InvalidRequest):
            with_unsealed(given(whole[:place] + changed + whole[place + 1 :]), ADA)


def test_what_is_remembered_unstored_is_read_again_too() -> None:
    ask = given(seal(ADA, "2+2"), "")
    earlier = Ask("demo", (said("msg_1", Role.USER, "b"),), unstored=ask.input)
    assert with_unsealed(earlier, ADA).unstored == with_unsealed(ask, ADA).input
