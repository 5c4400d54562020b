"""What every store of turns does; `test_turn_store_kept_ids.py` has what it does with kept ids."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path as File

import pytest

from services.context_assembly.api import KeptIds
from services.context_assembly.ports import Path, Summary, TurnStore
from services.shared.conversation import Picture, Reasoning, Role, said
from services.shared.ids import make_response_id, root_of
from services.shared.scope import Scope
from tests.fakes.context_assembly import SCOPE, assistant, call, result, user
from tests.fakes.turn_trees import TURN_STORES, chain, id_of, name_of, turn

FAR = 10**6
ELSEWHERE = [replace(SCOPE, organisation="evil"), replace(SCOPE, project="other")]


@pytest.fixture(params=TURN_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: File) -> AsyncIterator[TurnStore]:
    async with TURN_STORES[request.param](tmp_path) as turns:
        yield turns


async def path_to(store: TurnStore, name: str, max_chars: int = FAR) -> Path:
    path = await store.path(SCOPE, id_of(name), "m", max_chars)
    assert path is not None
    return path


def names(path: Path) -> list[str]:
    return [name_of(each.id) for each in path.turns]


def until(name: str, items: int = 2) -> Summary:
    return Summary(id_of(name), items, f"until {name}")


async def keep(
    store: TurnStore, name: str, *covers: str, grown_from: Summary | None = None
) -> bool:
    covered = [id_of(each) for each in covers]
    return await store.keep_summary(SCOPE, "m", until(name), covers=covered, grown_from=grown_from)


async def erase(store: TurnStore, name: str) -> bool:
    return await store.erase(SCOPE, id_of(name))


async def test_a_turn_is_kept_whole(store: TurnStore) -> None:
    written = replace(
        turn("b", "a"),
        input=[
            said("i1", Role.DEVELOPER, "Größe \0 🎉 \"'\n"),
            replace(user("look"), parts=(Picture("image/png", b"\0\xff"),)),
            result("f0", "{}"),
        ],
        output=[
            Reasoning("r1", "hm", ("thought",), "b3BhcXVl"),
            call("c1", "it rains"),
            call("c2", "", parallel=True),
            call("f1"),
            assistant("rain"),
        ],
        memory_ids=["mem_2", "mem_1"],
        kept_ids=KeptIds("m", 0, [0, 2**32 - 1, 7], ["mem_2", "mem_1"], 5),
    )
    await store.add(turn("a"))
    assert await store.add(written)
    assert await store.get(SCOPE, id_of("b")) == written


async def test_a_turn_of_a_tree_is_found_by_its_id_alone(store: TurnStore) -> None:
    root = make_response_id("")
    tree = {root: ""}
    for parent_id in (root, root, root):
        tree[make_response_id(parent_id)] = parent_id
    tree |= {make_response_id(parent_id): parent_id for parent_id in [*tree]}
    for turn_id, parent_id in tree.items():
        assert await store.add(replace(turn("a"), id=turn_id, parent_id=parent_id, scope=SCOPE))
    for turn_id, parent_id in tree.items():
        assert root_of(turn_id) == root
        found = await store.get(SCOPE, turn_id)
        assert found
        assert found.parent_id == parent_id
        path = await store.path(SCOPE, turn_id, "m", FAR)
        assert path
        assert (path.turns[0].id, path.turns[-1].id) == (root, turn_id)


async def test_a_path_leads_from_the_root_to_the_turn(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await store.add(replace(turn("d", "a"), memory_ids=["mem_1"]))
    path = await path_to(store, "d")
    assert names(path) == ["a", "d"]
    assert path.turns[1].input == [user("question d")]
    assert path.turns[1].output == [assistant("answer d")]
    assert path.turns[1].memory_ids == ["mem_1"]
    assert path.root == path.turns[0]
    assert not path.cut
    assert names(await path_to(store, "c")) == ["a", "b", "c"]


async def test_adding_a_turn_again_changes_nothing(store: TurnStore) -> None:
    await chain(store, "a", "b")
    assert await store.add(turn("b", "a", answered="another answer"))
    assert await store.add(turn("a", answered="another answer", kept_ids=KeptIds("m", 0, [1])))
    assert await store.get(SCOPE, id_of("b")) == turn("b", "a")
    assert await store.get(SCOPE, id_of("a")) == turn("a")


async def test_a_turn_needs_its_parent(store: TurnStore) -> None:
    assert not await store.add(turn("b", "a"))
    assert await store.get(SCOPE, id_of("b")) is None
    assert not await store.add(turn("c", "c"))


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
async def test_nobody_reaches_the_turns_of_another_project(
    store: TurnStore, elsewhere: Scope
) -> None:
    await chain(store, "a")
    await keep(store, "a", "a")
    assert await store.get(elsewhere, id_of("a")) is None
    assert await store.path(elsewhere, id_of("a"), "m", FAR) is None
    assert not await store.erase(elsewhere, id_of("a"))
    assert not await store.add(turn("b", "a", scope=elsewhere))
    assert not await store.keep_summary(
        elsewhere, "m", until("a", 1), covers=[id_of("a")], grown_from=None
    )
    assert await store.add(turn("a", answered="theirs", scope=elsewhere))
    assert await store.erase(elsewhere, id_of("a"))
    assert await store.get(SCOPE, id_of("a")) == turn("a")
    assert (await path_to(store, "a")).summary == until("a")


async def test_a_turn_is_its_projects_whoever_the_person_is(store: TurnStore) -> None:
    await chain(store, "a")
    nobody = replace(SCOPE, person="")
    assert await store.get(nobody, id_of("a")) == turn("a")
    assert await store.add(turn("b", "a", scope=nobody))
    assert names(await path_to(store, "b")) == ["a", "b"]


async def test_an_erased_turn_is_gone_and_keeps_its_place(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    assert await erase(store, "b")
    assert await store.get(SCOPE, id_of("b")) is None
    assert await store.path(SCOPE, id_of("b"), "m", FAR) is None
    assert names(await path_to(store, "c")) == ["a", "c"]
    assert not await erase(store, "b")
    assert not await store.add(turn("d", "b"))


async def test_an_erased_root_is_no_root(store: TurnStore) -> None:
    await chain(store, "a", "b")
    await erase(store, "a")
    path = await path_to(store, "b")
    assert (names(path), path.root, path.cut) == (["b"], None, False)


async def test_a_repeated_write_does_not_bring_an_erased_turn_back(store: TurnStore) -> None:
    await chain(store, "a")
    await erase(store, "a")
    assert await store.add(turn("a"))
    assert await store.get(SCOPE, id_of("a")) is None


async def test_a_path_begins_at_its_last_summary(store: TurnStore) -> None:
    await chain(store, "a", "b", "c", "d")
    assert await keep(store, "a", "a")
    assert await keep(store, "c", "b", "c", grown_from=until("a"))
    path = await path_to(store, "d")
    assert names(path) == ["c", "d"]
    assert path.summary == until("c")
    assert path.root
    assert name_of(path.root.id) == "a"
    assert not path.cut
    assert (await path_to(store, "b")).summary == until("a")


async def test_a_summary_is_its_models_own(store: TurnStore) -> None:
    await chain(store, "a", "b")
    await keep(store, "a", "a")
    path = await store.path(SCOPE, id_of("b"), "another model", FAR)
    assert path
    assert (names(path), path.summary) == (["a", "b"], None)


async def test_a_branch_reuses_a_summary_of_what_it_shares(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await keep(store, "b", "a", "b")
    await store.add(turn("d", "b"))
    await store.add(turn("e", "a"))
    assert (await path_to(store, "d")).summary == until("b")
    assert (await path_to(store, "e")).summary is None


async def test_a_newer_summary_takes_the_older_ones_place(store: TurnStore) -> None:
    await chain(store, "a")
    await keep(store, "a", "a")
    newer = until("a", 1)
    await store.keep_summary(SCOPE, "m", newer, covers=[id_of("a")], grown_from=None)
    assert (await path_to(store, "a")).summary == newer


@pytest.mark.parametrize(("erased", "left"), [("a", None), ("b", None), ("c", "b")])
async def test_erasing_a_turn_erases_the_summaries_that_cover_it(
    store: TurnStore, erased: str, left: str | None
) -> None:
    await chain(store, "a", "b", "c", "d")
    await keep(store, "b", "a", "b")
    await keep(store, "c", "a", "b", "c")
    await erase(store, erased)
    assert (await path_to(store, "d")).summary == (until(left) if left else None)


async def test_no_summary_is_kept_of_a_turn_erased_meanwhile(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await erase(store, "a")
    assert not await keep(store, "b", "a", "b")
    assert (await path_to(store, "c")).summary is None


async def test_no_summary_grows_from_one_that_was_erased_meanwhile(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await keep(store, "a", "a")
    await erase(store, "a")
    assert not await keep(store, "b", "b", grown_from=until("a"))
    assert (await path_to(store, "c")).summary is None


async def long_chain(store: TurnStore, length: int) -> list[str]:
    """Turns of 11 + 10 characters and the names of two."""
    long = [f"t{number:02}" for number in range(length)]
    await chain(store, *long)
    return long


async def test_turns_too_far_back_stay_unread(store: TurnStore) -> None:
    long = await long_chain(store, 40)
    path = await path_to(store, "t39", max_chars=240)
    assert names(path)[-10:] == long[-10:]
    assert len(names(path)) <= 13
    assert path.cut
    assert path.root
    assert name_of(path.root.id) == "t00"
    assert not (await path_to(store, "t09", max_chars=240)).cut


async def test_an_erased_turn_at_the_edge_leaves_the_path_cut(store: TurnStore) -> None:
    await long_chain(store, 40)
    edge = names(await path_to(store, "t39", max_chars=240))[0]
    await erase(store, edge)
    path = await path_to(store, "t39", max_chars=240)
    assert path.cut
    assert names(path)[0] > edge


async def test_a_path_begins_at_the_same_turn_for_long(store: TurnStore) -> None:
    long = await long_chain(store, 60)
    beginnings = [names(await path_to(store, leaf, max_chars=480))[0] for leaf in long]
    assert len(set(beginnings)) <= 1 + 60 * 24 // 120
    assert beginnings == sorted(beginnings)


async def test_one_turn_longer_than_the_limit_is_still_read(store: TurnStore) -> None:
    await chain(store, "a", "b")
    assert names(await path_to(store, "b", max_chars=1)) == ["b"]
