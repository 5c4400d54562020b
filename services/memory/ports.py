"""What the keeper needs from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.memory.api import Fact
from services.shared.chat import Scope

Vectors = NDArray[np.float32]


class Outdated(Exception):
    """Somebody else wrote since the revision that a write was decided on."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A fact and where its meaning lies, a vector of unit length."""

    fact: Fact
    vector: Vectors


@dataclass(frozen=True, slots=True)
class Holding:
    """All that is kept for a scope, as it was at one revision; 0 where there is nothing."""

    revision: int = 0
    kept: Sequence[Kept] = ()


class FactStore(Protocol):
    """Facts by scope. Every write gives the scope a revision that it never had before."""

    async def revision(self, scope: Scope) -> int:
        """0 for a scope without facts; cheap, for it is asked before every read."""

    async def read(self, scope: Scope) -> Holding:
        """The facts in order of their ids."""

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[Kept], drop: Sequence[str]
    ) -> int:
        """Keeps facts, over older ones of the same id, and erases others; says the new revision.

        All or nothing. Raises `Outdated` when `revision` is not the newest. What was erased or
        overwritten is not in the store's files any more when this returns.
        """

    async def erase(self, scope: Scope) -> int:
        """Erases all that is kept for the scope, likewise; says how many facts that were."""


class Embedder(Protocol):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row of unit length for each text."""
