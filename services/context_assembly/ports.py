"""What assembling needs from outside."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.context_assembly.api import Item, Model, Turn
from services.inference.api import Generation, Piece
from services.memory.api import Recollection
from services.shared.chat import Scope
from services.tokenizer.api import FitRequest, Fitted


@dataclass(frozen=True, slots=True)
class PastTurn:
    """What later turns need of a turn."""

    id: str
    input: Sequence[Item]
    output: Sequence[Item]
    memory_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Summary:
    """Stands for a path up to a turn, of whose items (input, then output) it covers the first."""

    turn_id: str
    items: int
    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """The turns from the root of a tree to one of its nodes; erased ones are left out."""

    turns: Sequence[PastTurn] = ()
    # Covers all before `turns`, and the beginning of the first of them.
    summary: Summary | None = None
    # The first turn of the conversation, wherever `turns` begins; None when it is erased.
    root: PastTurn | None = None
    # Whether older turns stayed unread although no summary covers them.
    cut: bool = False


class TurnStore(Protocol):
    """Keeps trees of turns. Nobody reaches a turn of another tenant; ids are unique in a tenant."""

    async def path(self, tenant: str, turn_id: str, model: str, max_chars: int) -> Path | None:
        """The path to a turn; None where no such turn is.

        It begins at the last turn that has a summary by `model`. Turns more than `max_chars` back
        stay unread; that limit moves in steps, so that the path begins at the same turn for long.
        """

    async def add(self, turn: Turn) -> bool:
        """False: the parent is not there. A turn that was there before stays as it was."""

    async def get(self, tenant: str, turn_id: str) -> Turn | None: ...

    async def erase(self, tenant: str, turn_id: str) -> bool:
        """Erases a turn's content and every summary that covers it, and keeps its place.

        False: there is no such turn.
        """

    async def keep_summary(
        self,
        tenant: str,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        """Keeps it in place of the one for the same turn and model, if there is one.

        False, and nothing is kept: one of the turns that were read for it, or the summary that it
        has grown from, was erased meanwhile.
        """


class Memory(Protocol):
    """What assembling needs of `services.memory.api.Memory`."""

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection: ...


class Tokenizer(Protocol):
    """What assembling needs of `services.tokenizer.api.Tokenizer`."""

    async def fit(self, request: FitRequest) -> Fitted: ...


class Inference(Protocol):
    """What summarising needs of `services.inference.api.Inference`."""

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]: ...


class SummaryFailed(Exception):
    """The conversation goes on without one."""


class Summariser(Protocol):
    async def summarise(self, model: Model, tenant: str, earlier: str, transcript: str) -> str:
        """What the model makes of an earlier summary (or none) and what was said since.

        Raises `SummaryFailed`.
        """
