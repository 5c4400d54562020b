"""How deep is too deep."""

import pytest

from services.shared.nesting import MOST_LEVELS, too_deep


def nested(levels: int, *, lists: bool) -> object:
    value: object = []
    for _ in range(levels - 1):
        value = [1, value] if lists else {"a": 1, "b": value}
    return value


@pytest.mark.parametrize("lists", [True, False])
def test_a_value_is_too_deep_beyond_the_most_levels(lists: bool) -> None:
    assert not too_deep(nested(MOST_LEVELS, lists=lists))
    assert too_deep(nested(MOST_LEVELS + 2, lists=lists))


@pytest.mark.parametrize("value", [None, 1, "[" * 500, [], {}, [[], [{}]]])
def test_what_is_flat_is_not(value: object) -> None:
    assert not too_deep(value)
