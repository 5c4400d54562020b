"""Pages of a list of items."""

import pytest

from services.context_assembly.api import Paging
from services.gateway.api import InvalidRequest
from services.gateway.paging import page_of
from services.shared.conversation import Role, said

ITEMS = [said(f"msg_{number}", Role.USER, "x") for number in range(5)]


def ids(page: Paging) -> tuple[list[str], bool]:
    found = page_of(ITEMS, page)
    return [item.id for item in found.items], found.has_more


def test_pages_go_through_the_list_in_either_order() -> None:
    assert ids(Paging(limit=2)) == (["msg_4", "msg_3"], True)
    assert ids(Paging("msg_3", 2)) == (["msg_2", "msg_1"], True)
    assert ids(Paging("msg_1", 2)) == (["msg_0"], False)
    assert ids(Paging("msg_0", 2)) == ([], False)
    assert ids(Paging("msg_0", 2, newest_first=False)) == (["msg_1", "msg_2"], True)
    assert ids(Paging(limit=5, newest_first=False)) == ([item.id for item in ITEMS], False)


def test_an_item_that_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        page_of(ITEMS, Paging("msg_9"))
    assert caught.value.details["param"] == "after"
