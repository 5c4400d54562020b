"""What every store of turns does."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path as File

import pytest
from prometheus_client import CollectorRegistry

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.adapters.metered import MeteredTurns, Steps
from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.api import Reasoning, Text
from services.context_assembly.ports import Path, Summary, TurnStore
from services.shared.chat import Role, Scope
from tests.fakes.context_assembly import assistant, call, recorded, result, user

FAR = 10**6


@pytest.fixture(params=["in memory", "sqlite", "metered"])
async def store(request: pytest.FixtureRequest, tmp_path: File) -> AsyncIterator[TurnStore]:
    if request.param == "sqlite":
        async with open_sqlite_turns(f"sqlite:{tmp_path}/turns.sqlite") as turns:
            yield turns
        return
    if request.param == "metered":
        registry = CollectorRegistry()
        yield MeteredTurns(InMemoryTurns(), Steps(registry), registry)
        return
    yield InMemoryTurns()


async def chain(store: TurnStore, *ids: str) -> None:
    for parent, turn_id in zip(("", *ids), ids, strict=False):
        assert await store.add(recorded(turn_id, parent))


async def path_to(store: TurnStore, turn_id: str, max_chars: int = FAR) -> Path:
    path = await store.path("acme", turn_id, "m", max_chars)
    assert path is not None
    return path


def ids(path: Path) -> list[str]:
    return [turn.id for turn in path.turns]


async def keep(
    store: TurnStore, turn_id: str, *covers: str, grown_from: Summary | None = None
) -> bool:
    summary = Summary(turn_id, 2, f"until {turn_id}")
    return await store.keep_summary("acme", "m", summary, covers=covers, grown_from=grown_from)


async def test_a_turn_is_kept_whole(store: TurnStore) -> None:
    turn = recorded(
        "b",
        "a",
        said=[
            Text("i1", Role.DEVELOPER, "Größe \0 🎉 \"'\n"),
            user("hello"),
            result("f0", "{}"),
        ],
        answered=[
            Reasoning("r1", "hm"),
            replace(call("c1", "it rains"), failed=True),
            call("c2", "", parallel=True),
            call("f1"),
            assistant("rain"),
        ],
        memory_ids=["mem_2", "mem_1"],
    )
    await store.add(recorded("a"))
    assert await store.add(turn)
    assert await store.get("acme", "b") == turn


async def test_a_path_leads_from_the_root_to_the_turn(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await store.add(recorded("d", "a", memory_ids=["mem_1"]))
    path = await path_to(store, "d")
    assert ids(path) == ["a", "d"]
    assert path.turns[1].input == [user("question d")]
    assert path.turns[1].output == [assistant("answer d")]
    assert path.turns[1].memory_ids == ["mem_1"]
    assert path.root == path.turns[0]
    assert not path.cut
    assert ids(await path_to(store, "c")) == ["a", "b", "c"]


async def test_adding_a_turn_again_changes_nothing(store: TurnStore) -> None:
    await chain(store, "a", "b")
    assert await store.add(recorded("b", "a", answered=[assistant("another answer")]))
    assert await store.add(recorded("a", answered=[assistant("another answer")]))
    assert await store.get("acme", "b") == recorded("b", "a")
    assert await store.get("acme", "a") == recorded("a")


async def test_a_turn_needs_its_parent(store: TurnStore) -> None:
    assert not await store.add(recorded("b", "a"))
    assert await store.get("acme", "b") is None
    assert not await store.add(recorded("c", "c"))


async def test_no_tenant_reaches_anothers_turns(store: TurnStore) -> None:
    await chain(store, "a")
    await keep(store, "a", "a")
    assert await store.get("evil", "a") is None
    assert await store.path("evil", "a", "m", FAR) is None
    assert not await store.erase("evil", "a")
    theirs = replace(recorded("b", "a"), scope=Scope("evil"))
    assert not await store.add(theirs)
    same_id = replace(recorded("a", answered=[assistant("theirs")]), scope=Scope("evil"))
    assert await store.add(same_id)
    assert await store.erase("evil", "a")
    assert await store.get("acme", "a") == recorded("a")
    assert (await path_to(store, "a")).summary


async def test_an_erased_turn_is_gone_and_keeps_its_place(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    assert await store.erase("acme", "b")
    assert await store.get("acme", "b") is None
    assert await store.path("acme", "b", "m", FAR) is None
    assert ids(await path_to(store, "c")) == ["a", "c"]
    assert not await store.erase("acme", "b")
    assert not await store.add(recorded("d", "b"))


async def test_an_erased_root_is_no_root(store: TurnStore) -> None:
    await chain(store, "a", "b")
    await store.erase("acme", "a")
    path = await path_to(store, "b")
    assert (ids(path), path.root, path.cut) == (["b"], None, False)


async def test_a_repeated_write_does_not_bring_an_erased_turn_back(store: TurnStore) -> None:
    await chain(store, "a")
    await store.erase("acme", "a")
    assert await store.add(recorded("a"))
    assert await store.get("acme", "a") is None


async def test_a_path_begins_at_its_last_summary(store: TurnStore) -> None:
    await chain(store, "a", "b", "c", "d")
    assert await keep(store, "a", "a")
    assert await keep(store, "c", "b", "c", grown_from=Summary("a", 2, "until a"))
    path = await path_to(store, "d")
    assert ids(path) == ["c", "d"]
    assert path.summary == Summary("c", 2, "until c")
    assert path.root
    assert path.root.id == "a"
    assert not path.cut
    assert (await path_to(store, "b")).summary == Summary("a", 2, "until a")


async def test_a_summary_is_its_models_own(store: TurnStore) -> None:
    await chain(store, "a", "b")
    await keep(store, "a", "a")
    path = await store.path("acme", "b", "another model", FAR)
    assert path
    assert (ids(path), path.summary) == (["a", "b"], None)


async def test_a_branch_reuses_a_summary_of_what_it_shares(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await keep(store, "b", "a", "b")
    await store.add(recorded("d", "b"))
    await store.add(recorded("e", "a"))
    assert (await path_to(store, "d")).summary == Summary("b", 2, "until b")
    assert (await path_to(store, "e")).summary is None


async def test_a_newer_summary_takes_the_older_ones_place(store: TurnStore) -> None:
    await chain(store, "a")
    await keep(store, "a", "a")
    newer = Summary("a", 1, "anew")
    await store.keep_summary("acme", "m", newer, covers=["a"], grown_from=None)
    assert (await path_to(store, "a")).summary == newer


@pytest.mark.parametrize(("erased", "left"), [("a", None), ("b", None), ("c", "b")])
async def test_erasing_a_turn_erases_the_summaries_that_cover_it(
    store: TurnStore, erased: str, left: str | None
) -> None:
    await chain(store, "a", "b", "c", "d")
    await keep(store, "b", "a", "b")
    await keep(store, "c", "a", "b", "c")
    await store.erase("acme", erased)
    summary = (await path_to(store, "d")).summary
    assert (summary and summary.turn_id) == left


async def test_no_summary_is_kept_of_a_turn_erased_meanwhile(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await store.erase("acme", "a")
    assert not await keep(store, "b", "a", "b")
    assert (await path_to(store, "c")).summary is None


async def test_no_summary_grows_from_one_that_was_erased_meanwhile(store: TurnStore) -> None:
    await chain(store, "a", "b", "c")
    await keep(store, "a", "a")
    await store.erase("acme", "a")
    assert not await keep(store, "b", "b", grown_from=Summary("a", 2, "until a"))
    assert (await path_to(store, "c")).summary is None


async def test_turns_too_far_back_stay_unread(store: TurnStore) -> None:
    long = [f"t{number:02}" for number in range(40)]
    await chain(store, *long)  # 11 + 13 characters a turn
    path = await path_to(store, "t39", max_chars=240)
    assert ids(path)[-10:] == long[-10:]
    assert len(ids(path)) <= 13
    assert path.cut
    assert path.root
    assert path.root.id == "t00"
    assert not (await path_to(store, "t09", max_chars=240)).cut


async def test_an_erased_turn_at_the_edge_leaves_the_path_cut(store: TurnStore) -> None:
    long = [f"t{number:02}" for number in range(40)]
    await chain(store, *long)
    edge = ids(await path_to(store, "t39", max_chars=240))[0]
    await store.erase("acme", edge)
    path = await path_to(store, "t39", max_chars=240)
    assert path.cut
    assert ids(path)[0] > edge


async def test_a_path_begins_at_the_same_turn_for_long(store: TurnStore) -> None:
    long = [f"t{number:02}" for number in range(60)]
    await chain(store, *long)
    beginnings = [ids(await path_to(store, leaf, max_chars=480))[0] for leaf in long]
    assert len(set(beginnings)) <= 1 + 60 * 24 // 120
    assert beginnings == sorted(beginnings)


async def test_one_turn_longer_than_the_limit_is_still_read(store: TurnStore) -> None:
    await chain(store, "a", "b")
    assert ids(await path_to(store, "b", max_chars=1)) == ["b"]
