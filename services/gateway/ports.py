"""What the gateway needs from outside."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from services.context_assembly.api import ContextAssembly
from services.gateway.api import Numbered, TurnEvent
from services.inference.api import Calling, Generation, Parsed, Piece, Report, Usage
from services.moderation.api import Moderation
from services.shared.moving import RecordKind
from services.shared.scope import Scope
from services.shared.signal import Signal
from services.tool_runner.api import ToolRunner


class Generates(Protocol):
    """Of inference, what the turn needs."""

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]: ...

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed: ...


class Inference(Generates, Protocol):
    """Of one replica, what the fleet needs besides."""

    def watch_load(self) -> AsyncGenerator[Report, None]: ...


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The other services, as the turn walks through them."""

    moderation: Moderation
    context: ContextAssembly
    inference: Generates
    tools: ToolRunner


# The project of an account that has said nothing of projects.
DEFAULT_PROJECT = "default"


class AccountKind(Enum):
    # One person's: memory is theirs unless the request names somebody else.
    PERSONAL = "personal"
    # A program's, for many people: memory only for whom the request names.
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    name: str
    kind: AccountKind
    # What its owner wants in every conversation.
    instructions: str = ""
    # Whether the model may remember and forget for its requests, where they ask for these tools.
    memory_write: bool = False

    def scope(self, safety_identifier: str) -> Scope:
        """Whose state a request of this account may touch."""
        if not safety_identifier and self.kind is AccountKind.PERSONAL:
            return Scope(self.id, DEFAULT_PROJECT, "owner")
        person = f"person:{safety_identifier}" if safety_identifier else ""
        return Scope(self.id, DEFAULT_PROJECT, person)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is kept of an API key: enough to recognise it, not to use it."""

    id: str
    account: Account
    fingerprint: bytes
    revoked: bool
    # Milliseconds since the epoch.
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one turn used."""

    response_id: str
    scope: Scope
    key_id: str
    model: str
    # Milliseconds since the epoch.
    at_ms: int
    usage: Usage


class Accounts(Protocol):
    """Accounts and their keys."""

    async def add_account(self, account: Account) -> None:
        """Adds it, or replaces name, kind and instructions of the one with its id."""

    async def claim_account(self, account: Account) -> Account:
        """Adds it unless its id is another's already; says whose the id is now."""

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None: ...

    async def find_key(self, key_id: str) -> StoredKey | None: ...

    async def list_keys(self) -> Sequence[StoredKey]:
        """All, also revoked ones: by account and age."""

    async def revoke_key(self, key_id: str) -> bool:
        """False: there is no such key, or it was revoked before."""

    async def revoke_keys(self, account_id: str) -> int:
        """Revokes all keys of an account; says how many were valid."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What an idempotency key stands for: one request and the response that answers it."""

    # A keyed digest of the request.
    fingerprint: bytes
    response_id: str
    # Milliseconds since the epoch.
    at_ms: int


class IdempotencyKeys(Protocol):
    """The idempotency keys of each organisation, for any number of processes at once."""

    async def use(
        self, organisation: str, key: str, use: KeyUse, *, instead_of: str = ""
    ) -> KeyUse:
        """Says what the key stands for from now on: for `use` if nobody has used it.

        Also if it stands for the response `instead_of`; two who ask for that get the same answer.
        """

    async def free(self, organisation: str, key: str, response_id: str) -> None:
        """Nobody has used the key, if it stands for this response."""

    async def drop_uses(self, before_ms: int) -> None:
        """Nobody has used the keys that were used before then."""


class Ledger(Protocol):
    """What was used, for the bill."""

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        """Adding an entry again changes nothing."""

    async def total(self, organisation: str) -> Usage: ...


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is kept."""

    id: str
    account_id: str
    fingerprint: bytes
    # Milliseconds since the epoch.
    created_at_ms: int
    # None: it is valid.
    revoked_at_ms: int | None


@dataclass(frozen=True, slots=True)
class KeyUseRecord:
    organisation: str
    idempotency_key: str
    use: KeyUse


# What a store of `Accounts`, `Ledger` and `IdempotencyKeys` keeps, for `Movable`. Accounts come
# first: a key cannot be kept without its account.
RECORD_KINDS: Sequence[RecordKind[Any]] = (
    RecordKind("accounts", Account, lambda account: (account.id,)),
    RecordKind("API keys", KeyRecord, lambda key: (key.id,)),
    RecordKind(
        "ledger entries", LedgerEntry, lambda entry: (entry.scope.organisation, entry.response_id)
    ),
    RecordKind(
        "idempotency keys", KeyUseRecord, lambda used: (used.organisation, used.idempotency_key)
    ),
)


class AccountStore(Accounts, Ledger, IdempotencyKeys, Protocol):
    """One store for all three."""


class Journal(Protocol):
    """The numbered events of turns: one process writes a turn's, any number read them.

    Nothing here assumes that they are the same process. Whoever writes holds the turn's lease, by
    its epoch: a number that grows each time the lease goes to somebody else. A writer that slept
    through the end of its lease still believes that it writes; its epoch is old by then, and all
    that it tries is refused with `LeaseLost`.
    """

    # Whether other processes write and read it too.
    shared: bool

    def is_alone(self, response_id: str) -> bool:
        """Whether no other process can read the turn, or go on with it."""

    async def claim(
        self, response_id: str, scope: Scope, *, seconds: float, waited_for: bool
    ) -> int:
        """Takes the lease on a turn's events, for so long, and says its epoch.

        A turn that somebody waits for is kept here alone where it cannot be shared now; of any
        other, that is an error.

        A turn that nobody has written yet begins with no events. Raises `LeaseLost` while the lease
        is another's, or when the events are complete.
        """

    async def renew(self, response_id: str, epoch: int, *, seconds: float) -> None:
        """Makes the lease last so long from now on. Raises `LeaseLost`."""

    def leave(self) -> None:
        """This process ends soon: nobody is told here any more what others write.

        Whoever reads that hears `TurnMoved`, at once or when a turn goes to another process.
        """

    async def append(self, response_id: str, epoch: int, number: int, event: TurnEvent) -> int:
        """Keeps an event, and says how many bytes about are kept of the turn now.

        Numbers have no gaps; appending one again changes nothing. Raises `LeaseLost`.
        """

    async def note(self, response_id: str, epoch: int, step: bytes) -> None:
        """Keeps a step by which another process could go on, no later than the next event.

        Raises `LeaseLost` at once, or with the next event.
        """

    async def keep_notes(self, response_id: str, epoch: int) -> None:
        """Keeps the steps that were noted, without an event. Raises `LeaseLost`."""

    async def notes(self, response_id: str) -> Sequence[bytes]:
        """The steps that are kept, in their order. Raises `EventsGone`."""

    async def first_note(self, response_id: str) -> bytes:
        """The first of these steps; empty, where there is none. Raises `EventsGone`."""

    async def abandoned(self) -> Sequence[str]:
        """Some of the turns whose events are not complete and whose lease has run out."""

    async def finish(self, response_id: str, epoch: int, *, keep_seconds: float) -> None:
        """The events are complete. They are dropped, all at once, after so long.

        Raises `LeaseLost`.
        """

    async def owner(self, response_id: str) -> Scope:
        """Whose turn it is. Raises `EventsGone`."""

    async def so_far(self, response_id: str) -> Sequence[TurnEvent]:
        """All events that were appended until now. Raises `EventsGone`."""

    async def ends(self, response_id: str) -> Sequence[TurnEvent]:
        """Of these the first and the last two, which tell how the turn stands."""

    def read(self, response_id: str, after: int = -1) -> AsyncGenerator[Numbered, None]:
        """The events after a number, as they come; ends when they are complete and were read.

        Raises `EventsGone`, also in the middle, when they are dropped, and `TurnMoved`.
        """


class Presence(Protocol):
    """Who reads a turn, in whichever gateway: a reader says so again and again."""

    async def attend(self, response_id: str, reader: str, *, seconds: float) -> None:
        """It reads the turn, for so long from now on."""

    async def leave(self, response_id: str, reader: str) -> None: ...

    async def attended(self, response_id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class PoolDemand:
    """What one gateway asks of a pool of replicas."""

    # Requests that wait for a replica, and the tokens of their prompts.
    held: int = 0
    held_tokens: int = 0
    # Generations of this gateway, by the replica's address.
    in_flight: Mapping[str, int] = field(default_factory=dict)
    # How many scalers follow the pool here.
    scalers: int = 0
    # How much longer a replica may take to come; 0: none is awaited.
    awaited_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one gateway asks of pools and services."""

    turns: int = 0
    # Of prompts, and of texts that moderation reads.
    tokens_per_second: float = 0
    characters_per_second: float = 0
    running_tools: int = 0
    # By the pool's name.
    pools: Mapping[str, PoolDemand] = field(default_factory=dict)


class OtherGateways(Protocol):
    """What each gateway asks of pools and services, for all that share a store.

    A gateway is believed for some seconds after it has told something; then it is gone.
    """

    # Is notified when another gateway tells something new.
    changed: Signal

    def demands(self) -> Sequence[Demand]:
        """Those of the others; none, where they cannot be known."""

    async def tell(self, own: Demand) -> None:
        """Tells the others at once, and hears who is there. Raises `Unavailable`."""


# Answers what another gateway asks of a turn that lives here, with bytes of its own.
AnswerMail = Callable[[bytes], Awaitable[bytes]]


class Mail(Protocol):
    """What gateways ask each other about the turns that live in them."""

    async def ask(self, response_id: str, request: bytes, *, seconds: float) -> bytes:
        """The answer of the gateway in which the turn lives.

        Raises `Unavailable` when none comes in time; the request may have been done all the same.
        """

    async def serve(self, answer: AnswerMail) -> None:
        """Answers what is asked of this gateway, for ever."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What one of those who are limited may use; 0: as much as they like."""

    name: str
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    turns: int = 0
    tokens_per_day: int = 0
    tokens_per_month: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """One turn's part of each of its buckets, all of one organisation."""

    id: str
    organisation: str
    buckets: Sequence[Bucket]
    tokens: int
    # How long the turn counts as under way when nobody settles it.
    seconds: float


@dataclass(frozen=True, slots=True)
class Left:
    """Of one kind of a bucket's limits, the tightest: how much may be used, and is left.

    `reset` is in how many seconds all of it is there again.
    """

    limit: int
    left: int
    reset: float


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    requests: Left | None = None
    tokens: Left | None = None
    # Of a refusal: in how many seconds to come again, and what was reached by whom.
    retry_after: float = 0
    what: str = ""
    refused_by: str = ""
    # Where it is a budget: of a day or a month.
    budget: str = ""


class Limiter(Protocol):
    """Counts what is used in windows that slide, all buckets of a turn at once or none.

    Times are in seconds since the epoch. Nothing here assumes one process.
    """

    async def reserve(self, wanted: Reservation, now: float) -> Verdict: ...

    async def settle(self, used: Reservation, now: float) -> None:
        """The turn has ended, with `used.tokens`. Of one that is not known, nothing is counted."""
