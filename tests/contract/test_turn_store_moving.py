"""What every store of turns does to be copied."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from services.context_assembly import ports as turns
from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import KeptIds, Turn
from services.context_assembly.ports import HeadMoved, Summary, TurnRecord, TurnStore
from services.memory.api import Erasure
from services.shared.moving import Movable
from tests.fakes.context_assembly import SCOPE
from tests.fakes.kept_trees import GONE, TALK, answers, fill, following_in, head_of_talk
from tests.fakes.moving import all_of, carried, contents
from tests.fakes.turn_trees import TURN_STORES, id_of, turn


class KeptTurns(TurnStore, Movable):
    """A `TurnStore` that can be copied."""


@pytest.fixture(params=[name for name in TURN_STORES if name != "metered"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeptTurns]:
    async with TURN_STORES[request.param](tmp_path) as opened:
        yield opened  # type: ignore[misc]


@pytest.fixture
async def model() -> InMemoryTurns:
    """A store with one of everything."""
    filled = InMemoryTurns()
    await fill(filled)
    return filled


async def same(one: KeptTurns, other: InMemoryTurns) -> None:
    kinds = turns.RECORD_KINDS
    assert await contents(one, kinds) == await contents(other, kinds)
    records: list[TurnRecord] = await all_of(other, kinds[0])
    assert await answers(one, records) == await answers(other, records)


async def test_a_copy_answers_as_what_it_was_made_of(
    store: KeptTurns, model: InMemoryTurns
) -> None:
    await carried(model, store, turns.RECORD_KINDS)
    await same(store, model)
    again = InMemoryTurns()
    await carried(store, again, turns.RECORD_KINDS)
    await same(store, again)


async def test_a_store_that_was_filled_by_its_port_has_the_same_records(
    store: KeptTurns, model: InMemoryTurns
) -> None:
    await fill(store)
    await same(store, model)


@pytest.mark.parametrize("limit", [1, 2, 1000])
async def test_every_record_is_in_one_page_of_any_size(
    store: KeptTurns, model: InMemoryTurns, limit: int
) -> None:
    await fill(store)
    for kind in turns.RECORD_KINDS:
        read = [kind.key(each) for each in await all_of(store, kind, limit)]
        assert sorted(read) == sorted(kind.key(each) for each in await all_of(model, kind))
        assert read


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_no_turn_comes_before_its_parent(store: KeptTurns, limit: int) -> None:
    await fill(store)
    (record,) = [
        each for each in await all_of(store, turns.RECORD_KINDS[0]) if each.id == id_of("z")
    ]
    await store.put_records([record])
    known = {""}
    for each in await all_of(store, turns.RECORD_KINDS[0], limit):
        assert each.parent_id in known
        known.add(each.id)


async def test_records_that_are_put_again_change_nothing(
    store: KeptTurns, model: InMemoryTurns
) -> None:
    await carried(model, store, turns.RECORD_KINDS)
    await carried(model, store, turns.RECORD_KINDS)
    await same(store, model)


async def test_a_record_takes_the_place_of_the_one_with_its_key(store: KeptTurns) -> None:
    kept = replace(turn("a"), kept_ids=KeptIds("m", 0, [1], ["mem_1"]))
    await store.add(kept)
    await store.keep_summary(
        SCOPE, "m", Summary(id_of("a"), 1, "old"), covers=[id_of("a")], grown_from=None
    )
    (record,) = await all_of(store, turns.RECORD_KINDS[0])
    bare = replace(record, turn=replace(kept, kept_ids=None), summaries={})
    await store.put_records([bare])
    assert await all_of(store, turns.RECORD_KINDS[0]) == [bare]
    await store.forget_facts(Erasure(1, SCOPE, ("mem_1",)))
    assert await store.get(SCOPE, id_of("a")) == replace(kept, kept_ids=None)


async def write_on(store: TurnStore) -> Sequence[object]:
    """What a service does next, and what it is told."""
    below_erased = turn("h", "d", kept_ids=KeptIds("m", 0, [1]))
    read_erased = turn("i", "g", kept_ids=KeptIds("m", 0, [1], ["mem_2"], 3))
    inheriting = turn("j", "f", kept_ids=KeptIds("m", 3, [1]))
    told: list[object] = [await store.add(each) for each in (below_erased, read_erased, inheriting)]
    told.append(await store.add(turn("k", "c")))
    grown = Summary(id_of("f"), 2, "until f")
    for old in ("until e", "another"):
        grown_from = Summary(id_of("e"), 1, old)
        covers = [id_of("f")]
        told.append(
            await store.keep_summary(SCOPE, "m", grown, covers=covers, grown_from=grown_from)
        )
    told.append(await store.add(following_in(TALK, head_of_talk("two"), "four")))
    told.append(await _moved(store, following_in(TALK, head_of_talk("two"), "five")))
    told.append(await store.erase_item(SCOPE, head_of_talk("two"), "item two"))
    told.append(await store.erase_tree(SCOPE, GONE))
    told.append(await store.erase(SCOPE, id_of("b")))
    await store.forget_facts(Erasure(2, SCOPE, ("mem_1",)))
    return told


async def _moved(store: TurnStore, late: Turn) -> str:
    with pytest.raises(HeadMoved):
        await store.add(late)
    return "moved"


async def test_writing_goes_on_in_a_copy(store: KeptTurns, model: InMemoryTurns) -> None:
    await carried(model, store, turns.RECORD_KINDS)
    assert await write_on(store) == await write_on(model)
    await same(store, model)
