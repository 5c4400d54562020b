"""Ids: made once, and what they tell."""

import re

import pytest

from services.shared.ids import (
    first_turn_of,
    make_conversation_id,
    make_id,
    make_item_id,
    make_response_id,
    response_of,
    root_of,
)


def test_an_id_says_of_what_it_is_and_is_made_once() -> None:
    made = {make_id("msg") for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"msg_[0-9a-f]{32}", each) for each in made)


def test_a_response_that_begins_a_conversation_is_its_own_root() -> None:
    first = make_response_id("")
    assert re.fullmatch(r"resp_[0-9a-f]{32}", first)
    assert root_of(first) == first
    assert make_response_id("") != first


def test_every_response_of_a_conversation_holds_the_id_of_its_root() -> None:
    root = make_response_id("")
    second, other_second = make_response_id(root), make_response_id(root)
    third = make_response_id(second)
    assert len({root, second, other_second, third}) == 4
    for each in (second, other_second, third):
        assert re.fullmatch(r"resp_[0-9a-f]{64}", each)
        assert root_of(each) == root


def test_an_items_id_tells_its_response() -> None:
    root = make_response_id("")
    for response_id in (root, make_response_id(root)):
        made = {make_item_id("msg", response_id) for _ in range(100)}
        assert len(made) == 100
        assert {response_of(each) for each in made} == {response_id}
    for other in ("", "msg_1", make_id("msg"), "msg_" + "g" * 48):
        assert response_of(other) == ""


@pytest.mark.parametrize("older", ["resp_" + "0123456789abcdef" * 2, "resp_" + "a" * 32])
def test_an_id_of_release_0_1_0_counts_as_a_root(older: str) -> None:
    assert root_of(older) == older
    assert root_of(make_response_id(older)) == older


def test_a_conversations_id_tells_the_root_of_its_tree() -> None:
    conversation_id = make_conversation_id()
    root = first_turn_of(conversation_id)
    assert root.removeprefix("resp_") == conversation_id.removeprefix("conv_")
    assert root_of(root) == root_of(make_response_id(root)) == root
    for other in ("", "conv_", "conv_1", root, conversation_id + "0", conversation_id.upper()):
        assert first_turn_of(other) == ""
