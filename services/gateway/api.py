"""What the gateway promises: one turn, streamed, the same for every public protocol."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from services.context_assembly.api import ConversationItems, Paging
from services.inference.api import ModelCard, OutputFormat, Sampling, TokenLogprob, Usage
from services.shared.conversation import Call, Item
from services.shared.errors import (
    GENERIC,
    Forbidden,
    InternalError,
    MeshError,
    NotFound,
    Overloaded,
    Unauthenticated,
    Unavailable,
)
from services.shared.ids import first_turn_of
from services.shared.tools import Tool, ToolChoice


class InvalidKey(Unauthenticated):
    """No key, or one that is not valid (any more)."""


class NotAdministrator(Forbidden):
    """Whoever asks does not have the secret of those who administer keys."""


class ModelNotFound(NotFound):
    """No such model is served; `param` is `model`."""


class ResponseNotFound(NotFound):
    """No such response, or it is another project's, which is the same."""


class EventsGone(NotFound):
    """The events of this turn are not kept (any more); a stored response still is."""


class TurnStopped(MeshError):
    """The turn was stopped before its end."""

    status = "CANCELLED"


class TurnLeft(TurnStopped):
    """Its last reader left, which is how a turn that is not in the background is cancelled."""


class TurnCancelled(MeshError):
    """One of the turn's callers cancelled it, by its id."""

    status = "CANCELLED"


class ResponseErased(MeshError):
    """The turn was stopped because one of its callers erased the response."""

    status = "CANCELLED"


class StreamInterrupted(MeshError):
    """The gateway that made the response has died, and nobody can go on where it stopped."""

    status = "ABORTED"


class TurnMoved(MeshError):
    """Another gateway goes on with the turn, as this one leaves: its readers come again there.

    The events that they have not seen are there, by the same numbers.
    """

    status = "UNAVAILABLE"


class NotCancellable(MeshError):
    """The turn has ended already, so that there is nothing to cancel."""

    status = "FAILED_PRECONDITION"


class LeaseLost(MeshError):
    """Another process writes this turn's events now; this one must stop."""

    status = "ABORTED"


class NoSuchConversation(NotFound):
    """No such conversation, or it is another project's, which is the same."""


class NoSuchItem(NotFound):
    """The conversation has no such item."""


class ConversationBusy(MeshError):
    """Another turn of the conversation is under way, or was added to it meanwhile."""

    status = "ABORTED"


class InvalidRequest(MeshError):
    """`param` names the field; `code` is OpenAI's word for what is wrong, where it has one."""

    status = "INVALID_ARGUMENT"


class KeyReused(MeshError):
    """An idempotency key was sent before, with another request."""

    status = "INVALID_ARGUMENT"


class KeyInUse(MeshError):
    """A request with this idempotency key is under way; `retry_after` says when to come again."""

    status = "ABORTED"


class InputBlocked(MeshError):
    """Moderation does not let the input pass; `category` says why."""

    status = "INVALID_ARGUMENT"


class SteeringRefused(MeshError):
    """Words for a turn that goes on otherwise than to take them in; `code` says why.

    Codes are those of OpenAI's `response.steer.failed`.
    """

    status = "FAILED_PRECONDITION"


class TooManySteers(Overloaded):
    """So many words wait for one turn that no more are taken."""


class TooManyConnections(Overloaded):
    """The key has as many sockets open as it may have."""


class TooManyTurns(Overloaded):
    """The organisation's limit is reached; `retry_after` says in how many seconds to come again."""


class RateLimited(Overloaded):
    """A limit by time is reached; `retry_after` says in how many seconds to come again."""


class BudgetSpent(Overloaded):
    """All tokens of a day or month are used; `retry_after` as above."""


class MeshFull(Overloaded):
    """Nobody's turn fits in now; `retry_after` as above."""


class NoReplica(Unavailable):
    """No replica of the model is there; `retry_after` as above."""


class Draining(MeshError):
    """The gateway is leaving; another one will answer."""

    status = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class OwnTools:
    """The mesh's own tools that a request asks for; None: all that the account may use.

    Whoever asks for them also lets the person's memory be read.
    """

    names: frozenset[str] | None = None

    def include(self, name: str) -> bool:
        return self.names is None or name in self.names


@dataclass(frozen=True, slots=True)
class Once:
    """Of a request that its caller may send again: with the same key it is one turn."""

    key: str
    # A digest of the request: with another one, the key is refused.
    digest: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller wants of one turn, whatever protocol brought it."""

    model: str
    input: tuple[Item, ...]
    # The places in `input` of items that are named by their ids alone: of stored responses.
    references: tuple[int, ...] = ()
    instructions: str = ""
    # What the caller names, and is shown.
    previous_response_id: str = ""
    # The stored turn that the prompt continues; None: the one that the caller names.
    parent_id: str | None = None
    # What was said since that turn and is stored nowhere. It comes before `input`.
    unstored: tuple[Item, ...] = ()
    # The conversation that the turn belongs to: it continues the last turn there, and becomes it.
    conversation: str = ""
    # Whether it waits while another turn of the conversation is under way; else it is refused.
    waits: bool = True
    # With a prompt of more tokens, or one that does not fit, the turn first compacts what was said
    # before it. 0: only where it does not fit; None: it never does.
    compact_threshold: int | None = None
    # Whether the turn compacts what was said, and says nothing else.
    only_compacts: bool = False
    # Whether what the summary does not replace is shown with it: see `Compacted.kept`.
    shows_kept: bool = False
    # The caller's own functions; calling one ends the turn.
    functions: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    parallel_calls: bool = True
    # None: a plain call of the model, without the mesh's own tools and without memory.
    own_tools: OwnTools | None = None
    # The most calls of the mesh's own tools; None: any number, in the configured number of rounds.
    max_tool_calls: int | None = None
    store: bool = True
    sampling: Sampling = field(default_factory=Sampling)
    format: OutputFormat | None = None
    # Drop the oldest items instead of refusing input that is too long.
    truncate: bool = False
    # The person behind the request, as the application knows them; memory belongs to them.
    safety_identifier: str = ""
    template_options: Mapping[str, str] = field(default_factory=dict)
    # Whether the turn goes on when nobody reads it; only where it is stored.
    background: bool = False
    # Whether its caller learns the response's id before the turn ends. Else a response that fails
    # is not kept: nobody could find or erase it.
    tells_id: bool = True
    # Whether the model answers. If not, the turn is only checked and got ready to be continued.
    generate: bool = True
    # Whether words may come while the turn runs. Its protocol then has to tell of two responses.
    steerable: bool = True
    # Whether reasoning comes sealed too, for callers that keep it themselves.
    seals_reasoning: bool = False
    # None: sent again, it is another turn.
    once: Once | None = None
    # What the protocol wants to find again when the response is fetched, as JSON text.
    echo: str = ""

    @property
    def continued_id(self) -> str:
        """The stored turn that the prompt continues; empty: none."""
        return self.previous_response_id if self.parent_id is None else self.parent_id

    @property
    def can_be_read_again(self) -> bool:
        """Whether a caller whose stream breaks off can come for the rest of it.

        It knows the id of a response that is stored, or sends the request again.
        """
        return self.background or self.once is not None or (self.store and self.steerable)

    @property
    def said(self) -> tuple[Item, ...]:
        """All that comes after the stored turn."""
        return (*self.unstored, *self.input)

    @property
    def tree_id(self) -> str:
        """A turn of the tree to which the turn is added; empty: it begins one."""
        return first_turn_of(self.conversation) or self.continued_id


class Finish(Enum):
    """Why a choice ended."""

    STOP = "stop"
    LENGTH = "length"
    FUNCTION_CALLS = "function_calls"
    CONTENT_FILTER = "content_filter"
    TOOL_ROUNDS = "tool_rounds"
    # The turn's events are more than are kept of one turn.
    TOO_MANY_EVENTS = "too_many_events"
    # Words came while it ran; another turn goes on with them.
    STEERED = "steered"
    # The model wrote a call that is none: it does not follow its function's schema.
    INVALID_CALL = "invalid_call"


class Status(Enum):
    # The turn has not ended.
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_ROUNDS = "tool_rounds"
    TOO_MANY_EVENTS = "too_many_events"
    STEERED = "steered"
    INVALID_CALL = "invalid_call"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Failed:
    """The last event of a turn that failed or was stopped: a `MeshError` as plain values."""

    # The error's `reason()`, such as gateway.InputBlocked.
    reason: str
    # Its gRPC status.
    status: str
    message: str
    details: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def with_error(cls, error: MeshError) -> "Failed":
        return cls(error.reason(), error.status, error.message, error.details)

    def error(self) -> MeshError:
        """The error, to be raised again."""
        known = MeshError.classes.get(self.reason) or GENERIC.get(self.status, InternalError)
        return known(self.message, **self.details)

    @property
    def ends_as(self) -> Status:
        """The status of a response that ends with it."""
        cancelled = {TurnCancelled.reason(), TurnLeft.reason()}
        return Status.CANCELLED if self.reason in cancelled else Status.FAILED


@dataclass(frozen=True, slots=True)
class Response:
    """A turn, or what is there of one that has not ended; `output` is the first choice's.

    Of a turn that has not ended or that failed, `completed_at_ms` is 0, and `usage` counts nothing.
    """

    id: str
    model: str
    previous_response_id: str
    created_at_ms: int
    completed_at_ms: int
    status: Status
    output: tuple[Item, ...]
    usage: Usage
    echo: str = ""
    background: bool = False
    # Why it failed or was cancelled.
    error: Failed | None = None
    # The ids of items that are not whole, because it failed or was cancelled.
    unfinished: frozenset[str] = frozenset()
    # The conversation that it belongs to; empty: none.
    conversation: str = ""
    # Of the tokens of messages, by the message's id, where they were asked for.
    logprobs: Mapping[str, tuple[TokenLogprob, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Started:
    """The turn is admitted; what fails from here on fails inside the stream.

    It holds all that a presenter must know of the request.
    """

    response_id: str
    created_at_ms: int
    model: str
    previous_response_id: str = ""
    echo: str = ""
    background: bool = False
    # Whether the response is kept, so that it can be fetched by its id.
    stored: bool = True
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class CompactionStarted:
    """A summary that was asked for is being written; its item comes with `ItemDone`."""

    item_id: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    index: int
    item_id: str
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    index: int
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call whose arguments are still to come; of one that the mesh runs they are there."""

    index: int
    call: Call


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """The next piece of a call's arguments."""

    index: int
    item_id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ItemDone:
    """An item is whole; a call that the mesh ran carries its outcome."""

    index: int
    item: Item


@dataclass(frozen=True, slots=True)
class ChoiceEnded:
    index: int
    finish: Finish


@dataclass(frozen=True, slots=True)
class Completed:
    """The last event of a turn that did not fail, unless another turn goes on with words for it.

    The response can be continued from now on, if it was to be stored.
    """

    response: Response


@dataclass(frozen=True, slots=True)
class Continued:
    """Comes after `Completed` where words that came meanwhile began another turn."""

    # The response that answers the words. Its events are its own, and begin at 0 again.
    response_id: str
    input: tuple[Item, ...]


TurnEvent = (
    Started
    | CompactionStarted
    | TextDelta
    | ReasoningDelta
    | CallStarted
    | ArgumentsDelta
    | ItemDone
    | ChoiceEnded
    | Completed
    | Continued
    | Failed
)


@dataclass(frozen=True, slots=True)
class ConversationCard:
    """What a caller is told of a conversation, beside its items."""

    id: str
    # Milliseconds since the epoch.
    created_at_ms: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConversationCards:
    cards: tuple[ConversationCard, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event and its place in the turn, from 0 without gaps."""

    number: int
    event: TurnEvent


@dataclass(frozen=True, slots=True)
class Steered:
    """Words that were taken in."""

    # Of these words.
    id: str
    # The response that answers them.
    response_id: str


class Session(Protocol):
    """What the holder of a key may do."""

    def respond(self, ask: Ask) -> AsyncGenerator[Numbered, None]:
        """Starts a turn and reads it, and then each turn that goes on with words for it.

        The last event is `Completed` or `Failed`. A turn that was not asked to go on in the
        background stops when its last reader has closed its generator.
        """

    async def steer(self, response_id: str, words: Sequence[Item]) -> Steered:
        """Gives a turn that runs words to take in, and waits until it has.

        It does so at its next step: when tools of the mesh's have run, or when its reply ends.
        Raises why it did not: `ResponseNotFound`, `SteeringRefused`, `TooManySteers`,
        `InputBlocked`, or what the turn failed with meanwhile.
        """

    def follow(self, response_id: str, after: int = -1) -> AsyncGenerator[Numbered, None]:
        """The events of a turn after a number, as one more reader of it.

        Raises `ResponseNotFound` or `EventsGone`.
        """

    async def get_response(self, response_id: str) -> Response:
        """A response that is stored, or what is there of one that is under way.

        Raises `ResponseNotFound`, here and below.
        """

    async def cancel(self, response_id: str) -> Response:
        """Stops a turn in the background, and returns what it has said; again, it does nothing.

        Raises `InvalidRequest` for a turn that is not in the background, and `NotCancellable` for
        one that has ended otherwise.
        """

    async def delete_response(self, response_id: str) -> None:
        """Erases a response; one that is under way is stopped."""

    async def list_input_items(self, response_id: str, page: Paging) -> ConversationItems:
        """What the request of a response brought. Raises `InvalidRequest` for a wrong page."""

    async def count_input(self, ask: Ask) -> int:
        """How many tokens the model would read first. Nothing is moderated, run or kept."""

    async def compact(self, ask: Ask) -> Response:
        """A turn that only compacts: its output is what stays and one compaction item.

        Raises what the turn fails with.
        """

    async def create_conversation(
        self, items: Ask, metadata: Mapping[str, str]
    ) -> ConversationCard:
        """Begins a conversation with the input of `items`; the rest does not count.

        Raises `InputBlocked` and `InvalidRequest`.
        """

    async def get_conversation(self, conversation_id: str) -> ConversationCard:
        """Raises `NoSuchConversation`, here and below."""

    async def list_conversations(self, paging: Paging) -> ConversationCards:
        """Those of the key's project, by age."""

    async def update_conversation(
        self, conversation_id: str, metadata: Mapping[str, str]
    ) -> ConversationCard:
        """Replaces what the application keeps with it."""

    async def delete_conversation(self, conversation_id: str) -> None:
        """Erases it with all its turns. One that is under way in it fails, and is not kept."""

    async def add_items(self, conversation_id: str, items: Ask) -> Sequence[Item]:
        """Adds the input of `items` at its end, once no turn is under way there.

        Returns them with their ids. Raises `InputBlocked`, `InvalidRequest` and `ConversationBusy`.
        """

    async def list_items(self, conversation_id: str, paging: Paging) -> ConversationItems:
        """What was said in it. Raises `InvalidRequest` for a wrong `after`."""

    async def get_item(self, conversation_id: str, item_id: str) -> Item:
        """Raises `NoSuchItem`."""

    async def delete_item(self, conversation_id: str, item_id: str) -> ConversationCard:
        """Erases one item, and what may hold its words. Raises `NoSuchItem`."""

    async def list_models(self) -> Sequence[ModelCard]: ...
