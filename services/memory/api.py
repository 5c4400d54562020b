"""What memory promises."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.shared.errors import MeshError
from services.shared.scope import Scope


class FactNotFound(MeshError):
    status = "NOT_FOUND"


class NobodyToRemember(MeshError):
    """The scope names no person, so there is nobody whose memory it could be."""

    status = "INVALID_ARGUMENT"


class FactTooLong(MeshError):
    status = "INVALID_ARGUMENT"


class MemoryFull(MeshError):
    """The person has as many facts as one may have."""

    status = "RESOURCE_EXHAUSTED"


class Kind(Enum):
    FACT = "fact"  # found when it bears on the question
    PREFERENCE = "preference"  # always shown to the model


@dataclass(frozen=True, slots=True)
class Fact:
    """Times are milliseconds since the epoch."""

    id: str
    text: str
    kind: Kind
    created_at_ms: int
    updated_at_ms: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """A fact kept; `replaced` is the text whose place it took.

    Empty when the fact is new or was said before in the same words; several, if there were several,
    stand with semicolons between.
    """

    fact: Fact
    replaced: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    fact: Fact
    score: float


@dataclass(frozen=True, slots=True)
class Recollection:
    """What the model is shown of a person's memory."""

    preferences: Sequence[Fact] = ()
    # The facts asked for by id that still exist.
    named: Sequence[Fact] = ()
    # What else bears on the query, best first; a named fact may be among it, a preference is not.
    found: Sequence[Fact] = ()


@dataclass(frozen=True, slots=True)
class Erasure:
    """Facts that are erased, or say something else now."""

    # Ascends over all scopes, and stays the same over restarts.
    number: int
    scope: Scope
    fact_ids: Sequence[str]


class Memory(Protocol):
    """Keeps what people asked to be remembered, and finds what bears on a question.

    Every method with a scope raises `NobodyToRemember` for one without a person.
    """

    async def remember(self, scope: Scope, text: str, kind: Kind | None = None) -> Remembered:
        """Keeps a fact; the same again, or a newer value of it, takes the old one's place."""

    async def update(self, scope: Scope, fact_id: str, text: str) -> Fact: ...

    async def forget(self, scope: Scope, *, fact_id: str = "", query: str = "") -> Sequence[Fact]:
        """Erases by id or by what the facts say; returns what was erased."""

    async def list_facts(self, scope: Scope) -> Sequence[Fact]:
        """All, newest first."""

    async def search(self, scope: Scope, query: str, limit: int) -> Sequence[Match]:
        """The facts nearest to the query, best first."""

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        """For context-assembly; costs no embedding for a person without facts."""

    async def erase(self, scope: Scope) -> int:
        """Erases everything kept for the scope; says how many facts.

        When this returns, nobody reads them any more. From the store's files they are gone within
        the time that is configured there.
        """

    def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
        """Every erasure after a number: those that are over, then each as it happens.

        For whoever keeps something of a fact's words, as context-assembly does. It never ends by
        itself; it raises `Unavailable` when memory stops. `after` is the number of the last erasure
        that the watcher has dealt with.
        """
