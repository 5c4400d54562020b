"""Versions of a store's schema, and the scripts that lead from one to the next: for every store.

A store's migrations are a list of scripts in its own language. The first one makes version 1 of an
empty store, and each of the others the next version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.shared.errors import CannotStart


class NewerSchema(CannotStart):
    """A newer release has written the store, and this one cannot use it."""


class OlderSchema(CannotStart):
    """The store has to be migrated before this release can use it."""


class Breaking(str):
    """A migration after which releases that do not know it can no longer use the store.

    An older release may meet a migrated store: while an upgrade is going on, and after
    `helm rollback`. If the migration only adds what the older release does not look at, that works.
    Any other migration has to be marked with this class, and the older release then refuses to
    start.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Version:
    """What a store says of itself; an empty one is of version 0."""

    # How many migrations it has had.
    number: int = 0
    # How many of them a release has to know to use it: all up to the last one that is `Breaking`.
    needed: int = 0


class VersionedStore(Protocol):
    """One store, as far as its versions go."""

    @property
    def name(self) -> str:
        """How a sentence for its operator calls it. It holds nothing of the URL but a path."""

    async def version(self) -> Version: ...

    async def apply(self, script: str, version: Version) -> None:
        """Runs a migration and writes down the version that the store has then.

        Both or neither, where the store has transactions. Where it has none, the script must be one
        that may be run again, and the version is written last.
        """


async def migrate(store: VersionedStore, migrations: Sequence[str]) -> None:
    """Brings the store to the newest version. Raises `NewerSchema`.

    Nobody else may migrate it meanwhile: the caller sees to that.
    """
    found = await _usable(store, migrations)
    needed = found.needed
    for number, script in enumerate(migrations[found.number :], found.number + 1):
        needed = number if isinstance(script, Breaking) else needed
        await store.apply(script, Version(number, needed))


async def check(store: VersionedStore, migrations: Sequence[str]) -> None:
    """For a store that is not migrated when it is opened. Raises `OlderSchema` or `NewerSchema`."""
    found = await _usable(store, migrations)
    if found.number < len(migrations):
        raise OlderSchema(
            f"{store.name} has schema {found.number}, and {len(migrations)} is needed: run"
            " `chatmesh migrate` with the same settings"
        )


async def _usable(store: VersionedStore, migrations: Sequence[str]) -> Version:
    found = await store.version()
    if found.needed > len(migrations):
        raise NewerSchema(
            f"{store.name} has schema {found.number}, known are {len(migrations)}:"
            " use a newer release"
        )
    return found
