from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import pytest

from services.shared.moving import digest, every_page, page_of_list


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Thing:
    name: str
    colour: Colour
    packed: bytes
    parts: Sequence[object]
    words: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OtherThing(Thing):
    """Of another class, with the same fields."""


THING = Thing("a \0 Größe \ud800", Colour.RED, b"\0\xff", [1, None, True], {"x": 1, "y": [2]})
SAME = [
    replace(THING, parts=(1, None, True)),
    replace(THING, words={"y": (2,), "x": 1}),
]
OTHERS = [
    replace(THING, name="a"),
    replace(THING, packed=b"\0"),
    replace(THING, parts=[1, None]),
    replace(THING, parts=["1", None, True]),
    replace(THING, parts=[1, None, [True]]),
    replace(THING, words={"x": 1}),
    OtherThing(THING.name, THING.colour, THING.packed, THING.parts, THING.words),
]


@pytest.mark.parametrize("thing", SAME)
def test_equal_records_have_one_digest_however_their_store_returns_them(thing: Thing) -> None:
    assert digest(thing) == digest(THING)


@pytest.mark.parametrize("thing", OTHERS)
def test_records_that_differ_anywhere_have_another_digest(thing: Thing) -> None:
    assert digest(thing) != digest(THING)


class Numbers:
    async def records(self, kind: type, start: str, limit: int):  # type: ignore[no-untyped-def]
        return page_of_list([*range(7)], start, limit)

    async def put_records(self, records: Sequence[object]) -> None:
        raise AssertionError


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
async def test_pages_hold_each_record_once_from_any_place_on(limit: int) -> None:
    pages = [page async for page in every_page(Numbers(), int, "", limit)]
    assert [record for page in pages for record in page.records] == [*range(7)]
    assert all(page.records for page in pages)
    for page in pages[:-1]:
        left = [each async for each in every_page(Numbers(), int, page.rest, limit)]
        found = [record for each in (page, *left) for record in each.records]
        assert found == [*range(page.records[0], 7)]
