"""What the keeper needs from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.memory.api import Erasure, Fact
from services.shared.moving import RecordKind
from services.shared.scope import Scope

Vectors = NDArray[np.float32]
# Two bytes a number instead of four: vectors take half the room, and scores differ by less than a
# thousandth.
_HALF = np.dtype("<f2")


class Outdated(Exception):
    """The scope was written to since it had the revision on which this write was decided."""


@dataclass(frozen=True, slots=True)
class EmbeddedFact:
    """A fact and the vector of its meaning, of unit length."""

    fact: Fact
    vector: Vectors


@dataclass(frozen=True, slots=True)
class ScopeFacts:
    """All facts of a scope as they were at one revision; the revision is 0 where there are none."""

    revision: int = 0
    embedded: Sequence[EmbeddedFact] = ()


class FactStore(Protocol):
    """Facts by scope, and a log of what was erased.

    Every write gives its scope a revision that no scope has had before. The log holds scopes and
    ids, never words.
    """

    async def revision(self, scope: Scope) -> int:
        """0 for a scope without facts. Must be cheap: it is asked before every read."""

    async def read(self, scope: Scope) -> ScopeFacts:
        """The facts in order of their ids."""

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[EmbeddedFact], drop: Sequence[str]
    ) -> int:
        """Keeps facts, each over the one that has its id, and erases others by id.

        Returns the new revision. All is done, or nothing; raises `Outdated` when `revision` is not
        the newest. When this returns, nobody reads texts that were erased or overwritten any more.
        They are gone from the store's files within the time that it was opened with, also when the
        process ends before. Ids that were erased, or whose text is another one now, are in the log.
        """

    async def erase(self, scope: Scope) -> int:
        """Erases all facts of the scope, just as `write` does; returns how many there were."""

    async def erasures(self, after: int, limit: int) -> Sequence[Erasure]:
        """The first `limit` entries of the log whose number is above `after`, in ascending order.

        Numbers start at 1 and ascend over all scopes in the order of the writes. None is used
        twice, also after a restart.
        """


@dataclass(frozen=True, slots=True)
class ScopeRecord:
    scope: Scope
    # See `FactStore.revision`.
    revision: int


@dataclass(frozen=True, slots=True)
class FactRecord:
    scope: Scope
    fact: Fact
    # The fact's vector in half precision, the lowest byte first.
    vector: bytes


@dataclass(frozen=True, slots=True)
class RevisionsRecord:
    """The last revision that was given to any scope; a store that gave none has no such record."""

    last: int


# What a `FactStore` keeps, for `Movable`.
RECORD_KINDS: Sequence[RecordKind[Any]] = (
    RecordKind("people", ScopeRecord, lambda person: _key(person.scope)),
    RecordKind("facts", FactRecord, lambda kept: (*_key(kept.scope), kept.fact.id)),
    RecordKind("erasures", Erasure, lambda erasure: (str(erasure.number),)),
    RecordKind("revisions", RevisionsRecord, lambda _: ()),
)


def _key(scope: Scope) -> tuple[str, str, str]:
    return scope.organisation, scope.project, scope.person


def half_precision(vector: Vectors) -> bytes:
    return vector.astype(_HALF).tobytes()


def from_half_precision(packed: bytes) -> Vectors:
    return np.frombuffer(packed, dtype=_HALF).astype(np.float32)


class Embedder(Protocol):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row of unit length for each text."""
