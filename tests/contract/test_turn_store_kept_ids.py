"""What every store of turns does with the ids that a turn keeps."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path as File

import pytest

from services.context_assembly.api import KeptIds
from services.context_assembly.ports import TurnStore
from services.memory.api import Erasure
from services.shared.scope import Scope
from tests.fakes.context_assembly import SCOPE
from tests.fakes.turn_trees import TURN_STORES, chain, id_of, name_of, turn

ELSEWHERE = [replace(SCOPE, organisation="evil"), replace(SCOPE, project="other")]


@pytest.fixture(params=TURN_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: File) -> AsyncIterator[TurnStore]:
    async with TURN_STORES[request.param](tmp_path) as turns:
        yield turns


def ids_of(
    number: int, *facts: str, inherited: int = 0, model: str = "m", known: int = 0
) -> KeptIds:
    return KeptIds(model, inherited, [number, number + 1], [*facts], known)


async def tree(store: TurnStore) -> None:
    """a - b - c - d, and e beside c; b and e read facts, and c and d take over ids."""
    await store.add(turn("a", kept_ids=ids_of(1)))
    await store.add(turn("b", "a", kept_ids=ids_of(2, "mem_1", "mem_2", inherited=2)))
    await store.add(turn("c", "b", kept_ids=ids_of(3, inherited=4)))
    await store.add(turn("d", "c", kept_ids=ids_of(4)))
    await store.add(turn("e", "a", kept_ids=ids_of(5, "mem_2")))


async def kept(store: TurnStore, name: str) -> KeptIds | None:
    found = await store.get(SCOPE, id_of(name))
    assert found
    return found.kept_ids


async def keeping(store: TurnStore, among: str) -> str:
    """Which of the turns have ids, told alike by themselves and by the paths to them."""
    found = ""
    for name in among:
        one = await store.get(SCOPE, id_of(name))
        if one is None:
            continue
        path = await store.path(SCOPE, id_of(name), "m", 10**6)
        assert path
        assert path.turns[-1].kept_ids == one.kept_ids
        found += name if one.kept_ids else ""
    return found


async def forget(
    store: TurnStore, *fact_ids: str, number: int = 1, scope: Scope = SCOPE
) -> Sequence[str]:
    await store.forget_facts(Erasure(number, scope, fact_ids))
    return fact_ids


async def test_a_path_brings_the_ids_of_its_turns(store: TurnStore) -> None:
    await tree(store)
    path = await store.path(SCOPE, id_of("d"), "m", 10**6)
    assert path
    assert {name_of(each.id): each.kept_ids for each in path.turns} == {
        "a": ids_of(1),
        "b": ids_of(2, "mem_1", "mem_2", inherited=2),
        "c": ids_of(3, inherited=4),
        "d": ids_of(4),
    }
    assert path.root == path.turns[0]


async def test_the_root_of_a_path_that_begins_later_brings_no_ids(store: TurnStore) -> None:
    await tree(store)
    path = await store.path(SCOPE, id_of("d"), "m", 1)
    assert path
    assert path.root
    assert (len(path.turns), name_of(path.root.id), path.root.kept_ids) == (1, "a", None)


async def test_a_turn_may_have_no_ids_and_keep_them(store: TurnStore) -> None:
    await store.add(turn("a", kept_ids=KeptIds("m", 0, [], [])))
    assert await kept(store, "a") == KeptIds("m", 0, [], [])


async def test_a_repeated_write_brings_no_ids(store: TurnStore) -> None:
    await chain(store, "a")
    await store.add(turn("a", kept_ids=ids_of(1)))
    assert await kept(store, "a") is None


@pytest.mark.parametrize(
    ("erased", "left"), [("a", ""), ("b", "ae"), ("c", "abe"), ("d", "abce"), ("e", "abcd")]
)
async def test_erasing_a_turn_erases_its_ids_and_those_of_all_below(
    store: TurnStore, erased: str, left: str
) -> None:
    await tree(store)
    assert await store.erase(SCOPE, id_of(erased))
    assert await keeping(store, "abcde") == left


async def test_a_turn_added_below_an_erased_one_keeps_no_ids(store: TurnStore) -> None:
    await tree(store)
    await store.erase(SCOPE, id_of("b"))
    await store.add(turn("f", "d", kept_ids=ids_of(6)))
    await store.add(turn("g", "f", kept_ids=ids_of(7)))
    await store.add(turn("h", "e", kept_ids=ids_of(8)))
    assert await keeping(store, "acdefgh") == "aeh"


async def test_ids_that_continue_what_the_parent_has_lost_are_not_kept(store: TurnStore) -> None:
    await tree(store)
    await forget(store, "mem_1")
    await store.add(turn("f", "b", kept_ids=ids_of(6, inherited=4)))
    await store.add(turn("g", "b", kept_ids=ids_of(7)))
    await store.add(turn("h", "a", kept_ids=ids_of(8, inherited=2, model="another")))
    await store.add(turn("i", "a", kept_ids=ids_of(9, model="another")))
    await store.add(turn("j", "a", kept_ids=ids_of(10, inherited=2)))
    assert await keeping(store, "fghij") == "gij"


@pytest.mark.parametrize(
    ("facts", "left"),
    [
        (["mem_1"], "ae"),
        (["mem_2"], "a"),
        (["mem_2", "mem_1"], "a"),
        (["mem_3"], "abcde"),
        ([], "abcde"),
    ],
)
async def test_erasing_a_fact_erases_the_ids_of_who_read_it_and_of_all_below(
    store: TurnStore, facts: Sequence[str], left: str
) -> None:
    await tree(store)
    await forget(store, *facts)
    assert await keeping(store, "abcde") == left
    found = await store.get(SCOPE, id_of("b"))
    assert found
    assert replace(found, kept_ids=None) == turn("b", "a")


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
async def test_erasing_a_fact_leaves_other_projects_alone(
    store: TurnStore, elsewhere: Scope
) -> None:
    await tree(store)
    await forget(store, "mem_1", "mem_2", scope=elsewhere)
    await store.add(turn("f", "a", kept_ids=ids_of(6, "mem_1")))
    assert await keeping(store, "abcdef") == "abcdef"


async def test_a_turn_added_after_a_fact_it_read_was_erased_keeps_no_ids(store: TurnStore) -> None:
    await tree(store)
    await forget(store, "mem_3", "mem_4", number=1)
    await forget(store, "mem_3", number=2)
    await store.add(turn("f", "a", kept_ids=ids_of(6, "mem_9", "mem_3")))
    await store.add(turn("g", "a", kept_ids=ids_of(7, "mem_4")))
    await store.add(turn("h", "f", kept_ids=ids_of(8, inherited=4)))
    await store.add(turn("i", "a", kept_ids=ids_of(9, "mem_9")))
    assert await keeping(store, "fghi") == "i"


async def test_a_turn_that_read_a_fact_after_its_change_keeps_its_ids(store: TurnStore) -> None:
    """A fact that says something else now has the same id; its new words are not erased."""
    await store.add(turn("a", kept_ids=ids_of(1)))
    await forget(store, "mem_1", number=4)
    await store.add(turn("b", "a", kept_ids=ids_of(2, "mem_1", known=3)))
    await store.add(turn("c", "a", kept_ids=ids_of(3, "mem_1", known=4)))
    assert await keeping(store, "abc") == "ac"
    await forget(store, "mem_1", number=6)
    await store.add(turn("d", "a", kept_ids=ids_of(4, "mem_1", known=5)))
    assert await keeping(store, "abcd") == "a"


@pytest.mark.parametrize("erased_first", [True, False])
async def test_whichever_comes_first_no_ids_outlive_a_fact(
    store: TurnStore, *, erased_first: bool
) -> None:
    await store.add(turn("a", kept_ids=ids_of(1)))
    reading = turn("b", "a", kept_ids=ids_of(2, "mem_1", inherited=2))
    both = [store.add(reading), forget(store, "mem_1")]
    await asyncio.gather(*(reversed(both) if erased_first else both))
    assert await keeping(store, "ab") == "a"


async def test_the_highest_erasure_handled_is_remembered(store: TurnStore) -> None:
    assert await store.erasures_handled() == 0
    await forget(store, "mem_1", number=7)
    assert await store.erasures_handled() == 7
    await forget(store, "mem_2", number=9, scope=ELSEWHERE[0])
    await forget(store, "mem_1", number=7)
    assert await store.erasures_handled() == 9


async def test_an_erasure_may_be_repeated(store: TurnStore) -> None:
    await tree(store)
    await forget(store, "mem_1")
    await store.add(turn("f", "b", kept_ids=ids_of(6)))
    await forget(store, "mem_1")
    assert await keeping(store, "abcdef") == "aef"
