"""Rules that all protocols share; the contract suite sends wrong values to each of them."""

import pytest

from services.gateway.values import (
    field_path,
    filled,
    first_wrong,
    idempotency_key,
    is_picture,
    web_address,
)


@pytest.mark.parametrize("key", ["k", "!", "x" * 255])
def test_a_key_is_a_word(key: str) -> None:
    assert idempotency_key(key) == key


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "\u00e9", "a\n"])
def test_what_no_key_can_be(key: str) -> None:
    with pytest.raises(ValueError, match="must be one text"):
        idempotency_key(key)


@pytest.mark.parametrize("url", ["", "ftp://x", "javascript:1", "data:,x", "file:///etc/passwd"])
def test_only_the_web_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        web_address(url)
    assert web_address(f"https://x/?{url}")


def test_nobody_says_nothing() -> None:
    assert filled("") == ""
    with pytest.raises(ValueError, match="no part"):
        filled([])


def test_pictures_are_known_by_their_type() -> None:
    assert (is_picture("image/png"), is_picture("text/image/png")) == (True, False)


def test_a_field_is_named_without_the_kinds_that_were_tried() -> None:
    assert field_path(("messages", 0, "@application", "content")) == "messages[0].content"
    assert field_path(()) is None
    wrong = {"loc": ("a", 1), "msg": "Value error, is wrong"}
    assert first_wrong([wrong, {}]) == ("a[1]", "is wrong")
