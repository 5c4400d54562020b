"""Items that a request names by their ids alone."""

from dataclasses import replace
from itertools import count

import pytest

from services.context_assembly.api import Turn
from services.gateway.api import Ask, InvalidRequest
from services.gateway.references import with_referenced
from services.shared.conversation import Role, said
from services.shared.ids import make_item_id, make_response_id
from services.shared.scope import Scope
from tests.fakes.mesh import WordContext

HERE = Scope("acct_1", "default", "owner")
RESPONSE = make_response_id("")
ANSWER = said(make_item_id("msg", RESPONSE), Role.ASSISTANT, "Hello.")
HELLO = said("msg_0", Role.USER, "hello")


async def context() -> WordContext:
    made = WordContext()
    await made.record(Turn(RESPONSE, HERE, "", 1, (HELLO,), (ANSWER,), (), ""))
    return made


def naming(*ids: str) -> Ask:
    named = tuple(said(each, Role.ASSISTANT, "") for each in ids)
    return Ask("demo", (HELLO, *named), references=tuple(range(1, len(ids) + 1)))


async def test_the_stored_item_stands_in_the_place_of_its_id() -> None:
    read = await with_referenced(naming(ANSWER.id, ANSWER.id), await context(), HERE)
    assert (read.input, read.references) == ((HELLO, ANSWER, ANSWER), ())


async def test_an_ask_without_references_is_the_very_same() -> None:
    plain = Ask("demo", (HELLO,))
    assert await with_referenced(plain, WordContext(), HERE) is plain


@pytest.mark.parametrize(
    "item_id",
    ["msg_1", make_item_id("msg", RESPONSE), make_item_id("msg", make_response_id(""))],
    ids=count(),
)
async def test_what_is_not_stored_is_refused_by_its_place(item_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await with_referenced(naming(ANSWER.id, item_id), await context(), HERE)
    assert caught.value.details["param"] == "input[2]"


async def test_items_of_others_are_not_there() -> None:
    with pytest.raises(InvalidRequest):
        await with_referenced(naming(ANSWER.id), await context(), replace(HERE, organisation="b"))
