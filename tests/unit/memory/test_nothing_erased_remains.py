"""What is erased is gone: from every answer, from what is held in memory, and from the file."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.memory.adapters.sqlite import open_fact_store
from services.memory.api import Fact, Kind
from services.memory.keeper import Keeper
from services.memory.ports import EmbeddedFact, FactStore
from services.shared.scope import Scope
from tests.fakes.memory import WordEmbedder, keeper

FACTS = 1_000
PEOPLE = [
    Scope("acme", "main", "ann"),
    Scope("acme", "main", "bob"),
    Scope("umbrella", "main", "ann"),
]
EMBEDDER = WordEmbedder()
# A name that stands in no other fact, with more or less said of it.
TEXTS = [f"canary{number:04} sings {'la ' * (number % 50)}" for number in range(FACTS)]


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """Numbers of facts to erase by id, by what they say or by an update, and of people to erase."""

    by_id: frozenset[int]
    by_query: frozenset[int]
    by_update: frozenset[int]
    people: frozenset[int]


numbers = st.frozensets(st.integers(0, FACTS - 1), max_size=20)
plans = st.builds(ErasurePlan, numbers, numbers, numbers, st.frozensets(st.sampled_from(range(3))))


@settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(plans)
async def test_nothing_erased_is_found_again(plan: ErasurePlan) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.sqlite"
        async with open_fact_store(f"sqlite:{path}") as store:
            await fill(store)
            memory, replica = keeper(store, EMBEDDER), keeper(store, EMBEDDER)
            for scope in PEOPLE:
                await replica.recall(scope, query="sings")
            erased = await carry_out(plan, memory)
            for asked in (memory, replica):
                await assert_unreachable(asked, erased)
        # Closing the store has rewritten the file; while it is open, this happens now and then.
        assert_not_in(path, erased)


async def test_the_file_would_have_shown_it(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    async with open_fact_store(f"sqlite:{path}") as store:
        await fill(store)
        with pytest.raises(AssertionError):
            assert_not_in(path, [7])


async def fill(store: FactStore) -> None:
    for row, scope in enumerate(PEOPLE):
        kept = [
            EmbeddedFact(
                Fact(fact_id(n), TEXTS[n], Kind.FACT, n, n), EMBEDDER.embed_now([TEXTS[n]])[0]
            )
            for n in range(row, FACTS, len(PEOPLE))
        ]
        await store.write(scope, 0, keep=kept, drop=[])


async def carry_out(plan: ErasurePlan, memory: Keeper) -> list[int]:
    """Erases as it says; returns the numbers of the texts that may be nowhere any more."""
    for n in plan.by_id:
        assert len(await memory.forget(owner(n), fact_id=fact_id(n))) == 1
    for n in plan.by_query - plan.by_id:
        assert len(await memory.forget(owner(n), query=f"canary{n:04}")) == 1
    gone = plan.by_id | plan.by_query
    for n in plan.by_update - gone:
        await memory.update(owner(n), fact_id(n), "an old bird")
    for person in plan.people:
        left = {n for n in range(FACTS) if owner(n) == PEOPLE[person]} - gone
        assert await memory.erase(PEOPLE[person]) == len(left)
        gone |= left
    return sorted(gone | plan.by_update)


async def assert_unreachable(memory: Keeper, erased: Sequence[int]) -> None:
    listed = {fact.text for scope in PEOPLE for fact in await memory.list_facts(scope)}
    assert not listed & {TEXTS[n] for n in erased}
    for n in erased[:20]:
        query = f"canary{n:04} sings"
        recalled = await memory.recall(owner(n), query=query, fact_ids=[fact_id(n)])
        shown = [*recalled.named, *recalled.found, *recalled.preferences]
        shown += [match.fact for match in await memory.search(owner(n), query, 5)]
        assert not [fact for fact in shown if f"canary{n:04}" in fact.text]


def assert_not_in(path: Path, erased: Iterable[int]) -> None:
    """Neither in the file nor in the log beside it."""
    written = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert not [n for n in erased if f"canary{n:04}".encode() in written]


def owner(n: int) -> Scope:
    return PEOPLE[n % len(PEOPLE)]


def fact_id(n: int) -> str:
    return f"mem_{n:04}"
