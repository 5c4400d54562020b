"""What a request brings, as the turn takes it in."""

from services.gateway.api import Ask
from services.gateway.intake import with_ids
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


def test_the_callers_own_ids_stay() -> None:
    ask = Ask("demo", (said("mine", Role.USER, "a"),))
    assert with_ids(ask, RESPONSE) is ask
    mixed = with_ids(Ask("demo", (*ask.input, ITEMS["msg"])), RESPONSE)
    assert mixed.input[0] == ask.input[0]
    assert mixed.input[1].id
