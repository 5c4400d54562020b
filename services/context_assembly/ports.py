"""What assembling needs from outside."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.context_assembly.api import KeptIds, Model, Turn
from services.inference.api import Generation, Piece
from services.memory.api import Erasure, Recollection
from services.shared.conversation import Item
from services.shared.scope import Scope
from services.tokenizer.api import FitRequest, Fitted


@dataclass(frozen=True, slots=True)
class PastTurn:
    """What later turns need of a turn."""

    id: str
    input: Sequence[Item]
    output: Sequence[Item]
    memory_ids: Sequence[str]
    kept_ids: KeptIds | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Stands for the beginning of a path, up to and into a turn."""

    turn_id: str
    # How many of that turn's items it covers, counted through its input and then its output.
    items: int
    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """The turns from the root of a tree to one of its nodes; erased ones are left out."""

    turns: Sequence[PastTurn] = ()
    # Stands for all that was said before `turns`, and for the beginning of the first of them.
    summary: Summary | None = None
    # The first turn of the conversation, wherever `turns` begins; None when it is erased. It comes
    # without its kept ids, unless it is the first of `turns`.
    root: PastTurn | None = None
    # Whether there are older turns that were not read and that no summary covers.
    cut: bool = False


class TurnStore(Protocol):
    """Keeps trees of turns, for any number of processes at once.

    A turn belongs to the organisation and the project of its scope, and its id is unique there. To
    everybody else it is as if it did not exist. The person of a scope is kept, and decides nothing.

    A store may keep each tree in a place of its own, named by its root's id. It then finds a turn
    by the turn's id alone: `root_of(id)` names the place (services/shared/ids.py). Only ids of
    release 0.1.0 hold no root. They are in no other store than SQLite's, which looks them up whole.
    """

    async def path(self, scope: Scope, turn_id: str, model: str, max_chars: int) -> Path | None:
        """The path to a turn; None: there is no such turn.

        It begins at the last turn that has a summary by `model`. Turns more than `max_chars`
        characters back are not read. That limit moves in blocks, so that for many turns in a row
        the path begins at the same turn.
        """

    async def add(self, turn: Turn) -> bool:
        """False: the parent is not there. A turn that was there before stays as it was.

        The turn is kept without its `kept_ids` where these may hold words that have been erased:

        - one of their facts has an erasure that was handled later than their `erasures_known`;
        - a turn above it was erased, before or after the turn's prompt was made;
        - they continue ids of the parent which the parent no longer has, or which another model
          wrote.
        """

    async def get(self, scope: Scope, turn_id: str) -> Turn | None: ...

    async def erase(self, scope: Scope, turn_id: str) -> bool:
        """Erases what a turn holds, and keeps its place in the tree.

        Every summary that covers the turn is erased too, and so are the kept ids of all turns below
        it: their prompts were made with its words. False: there is no such turn. When this returns,
        nobody reads any of it. It is gone from the store's files within the time that it was opened
        with, also when the process ends before.
        """

    async def keep_summary(
        self,
        scope: Scope,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        """Keeps a summary in place of the one for the same turn and model, if there is one.

        False, and nothing is kept: a turn that was read for it has been erased meanwhile, or the
        summary that it continues.
        """

    async def forget_facts(self, erasure: Erasure) -> None:
        """Erases the kept ids of every turn that read one of the facts, and of all turns below it.

        As soon as nobody reads them any more, and not before, the erasure's number counts as
        handled; from the files they go as with `erase`. The same erasure may be given again, by any
        process, and the number never goes back.
        """

    async def erasures_handled(self) -> int:
        """The highest number that `forget_facts` has handled here; 0: none yet.

        Cheap, since every assembly asks for it. It may lag behind what another process has handled:
        then a turn loses its kept ids without need, and no erased word is kept.
        """


class Memory(Protocol):
    """What assembling needs of `services.memory.api.Memory`."""

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection: ...

    def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]: ...


class Tokenizer(Protocol):
    """What assembling needs of `services.tokenizer.api.Tokenizer`."""

    async def fit(self, request: FitRequest) -> Fitted: ...


class Inference(Protocol):
    """What summarising needs of `services.inference.api.Inference`."""

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]: ...


class SummaryFailed(Exception):
    """The conversation goes on without one."""


class Summariser(Protocol):
    async def summarise(self, model: Model, scope: Scope, earlier: str, transcript: str) -> str:
        """A summary of an earlier summary (or none) and of what was said since.

        Raises `SummaryFailed`.
        """
