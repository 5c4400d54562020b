"""Versions of schemas, as every store counts them."""

from collections.abc import Sequence

import pytest

from services.shared.schema import (
    Breaking,
    NewerSchema,
    OlderSchema,
    Version,
    check,
    migrate,
)


class Notes:
    """A `VersionedStore` that remembers what was run."""

    name = "the store of notes"

    def __init__(self) -> None:
        self.ran: list[str] = []
        self._version = Version()

    async def version(self) -> Version:
        return self._version

    async def apply(self, script: str, version: Version) -> None:
        self.ran.append(script)
        self._version = version


async def migrated(*scripts: str) -> Notes:
    store = Notes()
    await migrate(store, scripts)
    return store


async def test_each_script_is_run_once_and_in_order() -> None:
    store = await migrated("one")
    await migrate(store, ["one", "two", "three"])
    await migrate(store, ["one", "two", "three"])
    assert store.ran == ["one", "two", "three"]
    assert await store.version() == Version(3, 0)


SCRIPTS: Sequence[str] = ("one", Breaking("two"), "three")


async def test_a_release_needs_to_know_all_up_to_the_last_that_breaks() -> None:
    store = await migrated(*SCRIPTS)
    assert await store.version() == Version(3, 2)
    await migrate(store, SCRIPTS[:2])
    await check(store, SCRIPTS[:2])
    assert store.ran == [*SCRIPTS]
    for use in (migrate, check):
        with pytest.raises(NewerSchema, match=r"the store of notes has schema 3, known are 1"):
            await use(store, SCRIPTS[:1])


async def test_checking_an_older_store_says_what_to_run_and_changes_nothing() -> None:
    store = await migrated("one")
    with pytest.raises(OlderSchema, match=r"has schema 1, and 3 is needed: run `chatmesh migrate`"):
        await check(store, SCRIPTS)
    assert store.ran == ["one"]
    await migrate(store, SCRIPTS)
    await check(store, SCRIPTS)
