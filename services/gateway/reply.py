"""What a turn has said so far, over all its rounds and choices."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.gateway.api import Ask, ChoiceEnded, Finish, Status, TurnEvent
from services.gateway.choice import Choice, MakeId, Seal
from services.gateway.compacting import Summarised
from services.gateway.guard import OpenGuard
from services.gateway.steering import Inbox
from services.gateway.steps import Steps
from services.inference.api import Piece, TokenLogprob, Usage, total
from services.shared.conversation import Call, Item
from services.shared.errors import MeshError
from services.shared.scope import Scope
from services.shared.tools import Tool

_STATUSES = {
    Finish.STOP: Status.COMPLETED,
    Finish.FUNCTION_CALLS: Status.COMPLETED,
    Finish.LENGTH: Status.LENGTH,
    Finish.CONTENT_FILTER: Status.CONTENT_FILTER,
    Finish.TOOL_ROUNDS: Status.TOOL_ROUNDS,
    Finish.TOO_MANY_EVENTS: Status.TOO_MANY_EVENTS,
    Finish.STEERED: Status.STEERED,
    Finish.INVALID_CALL: Status.INVALID_CALL,
}


@dataclass(frozen=True, slots=True)
class Opened:
    """What was taken in of a request that is answered, as it is kept."""

    scope: Scope
    ask: Ask
    memory_ids: Sequence[str]


@dataclass(slots=True)
class TurnProgress:
    """What a turn's owner and its loop tell each other while it runs."""

    response_id: str
    # Set by the loop before the turn's first event.
    opened: Opened | None = None
    # It has come to its end, and is being kept.
    recording: bool = False
    # What the model has read and written for the turn so far. The loop keeps it.
    used: Usage = field(default_factory=Usage)
    # More events came than are kept of a turn, so that it must end. Its owner says so.
    too_many_events: bool = False
    # What came for it meanwhile. Its owner puts words in and takes them out.
    inbox: Inbox = field(default_factory=Inbox)
    # What it has heard from others. Its owner says where to keep them.
    steps: Steps = field(default_factory=Steps)
    # When it began, if another gateway began it; 0: it begins now. Milliseconds since the epoch.
    created_at_ms: int = 0


class Reply:
    """Hears the model's pieces, round by round; `items` are the first choice's, whole ones only."""

    def __init__(
        self,
        functions: Mapping[str, Tool],
        open_guard: OpenGuard,
        make_id: MakeId,
        progress: TurnProgress,
        *,
        choices: int,
        seal: Seal | None,
    ) -> None:
        self._seal = seal
        self._functions = functions
        self._open_guard = open_guard
        self._make_id = make_id
        self._progress = progress
        self._choices: list[Choice] = []
        self._number = choices
        self._reported: Usage | None = None
        self._heard_tokens = 0
        # What the model has written in this round, by choice 0.
        self._written: list[int] = []
        self._earlier: list[Item] = []
        # As in a choice, of the rounds before.
        self._earlier_logprobs: dict[str, tuple[TokenLogprob, ...]] = {}
        # The summary with which the reply begins.
        self.summarised: Summarised | None = None
        # The ids of calls that only the model hears of again.
        self._refused: set[str] = set()
        self._steered = False

    @property
    def usage(self) -> Usage:
        """Of all rounds that have ended."""
        return self._progress.used

    @property
    def written_ids(self) -> Sequence[int]:
        """What the model wrote in the last round; nothing, if any of it was masked or withheld.

        Not even what came before: a token's text may come after the token, so that nobody can tell
        here with which token a text began.
        """
        return () if self._choices and self._choices[0].withheld else self._written

    @property
    def items(self) -> list[Item]:
        return [*self._earlier, *(self._choices[0].items if self._choices else ())]

    @property
    def logprobs(self) -> dict[str, tuple[TokenLogprob, ...]]:
        """Of the tokens of messages, by the message's id."""
        latest = self._choices[0].logprobs if self._choices else {}
        told = {item_id: tuple(tokens) for item_id, tokens in latest.items()}
        return {**self._earlier_logprobs, **told}

    @property
    def output(self) -> list[Item]:
        """Of the items, those that the caller is shown and the conversation keeps."""
        return [item for item in self.items if item.id not in self._refused]

    @property
    def own_calls(self) -> list[Call]:
        """The calls of the last round that the mesh shall run and has not."""
        return list(self._choices[0].own_calls) if len(self._choices) == 1 else []

    @property
    def ended(self) -> bool:
        """Whether nothing more of this round is wanted."""
        return all(choice.finish for choice in self._choices)

    @property
    def waits_for_caller(self) -> bool:
        """Whether a function of the caller's must answer before the model can go on."""
        return any(choice.finish is Finish.FUNCTION_CALLS for choice in self._choices)

    @property
    def status(self) -> Status:
        return _STATUSES[self._finish(0)]

    @asynccontextmanager
    async def round(self, prompt_ids: Sequence[int]) -> AsyncIterator[None]:
        """Another round of the model, in which `hear` is called."""
        self._earlier, self._earlier_logprobs = self.items, self.logprobs
        self._choices = [self._begin_choice(index) for index in range(self._number)]
        self._reported = None
        self._heard_tokens = 0
        self._written = []
        prompt_tokens = len(prompt_ids)
        try:
            yield
        except MeshError:
            # The engine that refuses a prompt has not read it.
            prompt_tokens = prompt_tokens if self._heard_tokens else 0
            raise
        finally:
            # A round that was stopped never said what it used.
            heard = Usage(prompt_tokens=prompt_tokens, completion_tokens=self._heard_tokens)
            self._progress.used = total(self._progress.used, self._reported or heard)
            for choice in self._choices:
                await choice.close()

    async def hear(self, piece: Piece) -> list[TurnEvent]:
        """The events that a piece of the model's output brings."""
        events: list[TurnEvent] = []
        self._reported = piece.usage or self._reported
        for delta in piece.deltas:
            self._heard_tokens += len(delta.ids)
            if not delta.index:
                self._written += delta.ids
            events += await self._choices[delta.index].grow(delta)
        if self._progress.too_many_events:
            for choice in self._choices:
                events += await choice.cut()
        return events

    def summarise(self, summarised: Summarised) -> None:
        """A compaction item, before the first round."""
        self.summarised = summarised
        self._earlier.append(summarised.item)
        self._progress.used = total(self._progress.used, summarised.usage)

    def ran(self, call: Call) -> None:
        """An own call has its outcome."""
        (choice,) = self._choices
        choice.own_calls = [waiting for waiting in choice.own_calls if waiting.id != call.id]
        choice.items.append(call)

    def refuse(self, call: Call) -> None:
        """A call is not run, and its outcome says why. Only the model reads of it."""
        self._refused.add(call.id)
        self.ran(call)

    def steer(self) -> None:
        """It ends before the model had its last word: another turn goes on with what has come."""
        self._steered = True

    def endings(self) -> list[TurnEvent]:
        return [ChoiceEnded(index, self._finish(index)) for index in range(self._number)]

    def _finish(self, index: int) -> Finish:
        if self._steered:
            return Finish.STEERED
        if self.own_calls:
            return Finish.TOOL_ROUNDS
        # A turn that only compacts has no choices.
        return (self._choices and self._choices[index].finish) or Finish.STOP

    def _begin_choice(self, index: int) -> Choice:
        return Choice(index, self._functions, self._open_guard, self._make_id, self._seal)
