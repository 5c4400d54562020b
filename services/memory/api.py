"""What memory promises."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.shared.chat import Scope
from services.shared.errors import MeshError


class FactNotFound(MeshError):
    status = "NOT_FOUND"


class NobodyToRemember(MeshError):
    """The scope names no user, so there is nobody whose memory it could be."""

    status = "INVALID_ARGUMENT"


class FactTooLong(MeshError):
    status = "INVALID_ARGUMENT"


class MemoryFull(MeshError):
    """The user has as many facts as one may have."""

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
    """What the model is shown of a user's memory."""

    preferences: Sequence[Fact] = ()
    # The facts asked for by id that still exist.
    named: Sequence[Fact] = ()
    # What else bears on the query, best first; a named fact may be among it, a preference is not.
    found: Sequence[Fact] = ()


class Memory(Protocol):
    """Keeps what people asked to be remembered, and finds what bears on a question.

    Every method raises `NobodyToRemember` for a scope without a user.
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
        """For context-assembly; costs no embedding for a user without facts."""

    async def erase(self, scope: Scope) -> int:
        """Erases everything kept for the scope before it returns; says how many facts."""
