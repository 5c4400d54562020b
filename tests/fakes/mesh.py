"""Small working stand-ins for the services around the gateway, for its own tests."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import Assembly, Compacted, Context, InputTooLong, Turn
from services.context_assembly.conversations import Conversations
from services.context_assembly.messages import is_by_user
from services.gateway.adapters.in_memory import InMemoryAccounts, NobodyElse
from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.adapters.in_memory_limiter import InMemoryLimiter
from services.gateway.admission import Admission
from services.gateway.authenticator import Authenticator
from services.gateway.connections import Connections
from services.gateway.conversations import ConversationKeeper
from services.gateway.elsewhere import Elsewhere
from services.gateway.fleet import Fleet, Pool
from services.gateway.front import Front
from services.gateway.guard import OutputModeration, guards
from services.gateway.lanes import Lanes
from services.gateway.limits import Limit, Limits
from services.gateway.live_turns import LiveTurns, TurnBounds
from services.gateway.ports import Account, AccountKind, Inference, LedgerEntry, Neighbours
from services.gateway.repeats import Repeats
from services.gateway.turn import TurnLoop
from services.inference.api import (
    CallDelta,
    Calling,
    Delta,
    FinishReason,
    Generation,
    Load,
    ModelCard,
    Parsed,
    Piece,
    Report,
    Usage,
)
from services.shared.background import in_background
from services.shared.conversation import Call, CallResult, Item, Message, Picture, Text
from services.shared.errors import Malformed
from services.shared.peers import Peer, followed
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.tool_runner.api import Outcome, UnknownTool
from tests.fakes.moderation import WordModeration

CARD = ModelCard("demo", 1000, calls_tools=True, reasons=True, summarises=False, created_at=1)
BOUNDS = TurnBounds(
    turn_seconds=30,
    joining_seconds=30,
    lease_seconds=30,
    kept_seconds=300,
    event_bytes=1_000_000,
)


class WordContext(Conversations):
    """Keeps turns in memory; a word is a token. Every summary is `summary`."""

    def __init__(self) -> None:
        self.store = InMemoryTurns()
        super().__init__(self.store)
        self.recorded: list[Turn] = []
        self.assemblies: list[Assembly] = []
        # What every context has.
        self.inherited_ids = 0
        self.pictures: Sequence[Picture] = ()
        self.compactions: list[Assembly] = []
        self.summary = "They spoke of Ulm."
        # What compacting fails with.
        self.compact_failure: Exception | None = None
        # What recording fails with.
        self.failure: Exception | None = None

    async def assemble(self, assembly: Assembly) -> Context:
        self.assemblies.append(assembly)
        await asyncio.sleep(0)  # as a call to another process
        if assembly.parent_id:
            await self.get_turn(assembly.scope, assembly.parent_id)
        self._check_results(assembly)
        words = " ".join(map(_words, (*assembly.input, *assembly.produced))).split()
        room = assembly.model.context_tokens - assembly.output_tokens
        if len(words) > room:
            raise InputTooLong("too long", param="input", tokens=str(len(words)))
        facts = assembly.memory_ids or ("mem_1",)
        return Context(
            tuple(range(len(words))),
            facts,
            facts,
            erasures_known=7,
            inherited_ids=self.inherited_ids,
            pictures=self.pictures,
        )

    def _check_results(self, assembly: Assembly) -> None:
        """As the real one: a result answers a call, whichever turn that is of."""
        earlier = (item for turn in self.recorded for item in (*turn.input, *turn.output))
        called = {item.call_id for item in earlier if isinstance(item, Call)}
        for number, item in enumerate(assembly.input):
            if isinstance(item, Call):
                called.add(item.call_id)
            if isinstance(item, CallResult) and item.call_id not in called:
                raise Malformed("answers no call before it", param=f"input[{number}]")

    async def compact(self, assembly: Assembly) -> Compacted:
        self.compactions.append(assembly)
        await asyncio.sleep(0)
        if assembly.parent_id:
            await self.get_turn(assembly.scope, assembly.parent_id)
        if self.compact_failure:
            raise self.compact_failure
        kept = [item for item in assembly.input if is_by_user(item)]
        return Compacted(self.summary, kept, Usage(100, 10, 20))

    async def record(self, turn: Turn) -> None:
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        await super().record(turn)
        self.recorded.append(turn)


def _words(item: Item) -> str:
    if isinstance(item, Call):
        return item.outcome.text if item.outcome else ""
    return item.text if isinstance(item, Message | CallResult) else ""


@dataclass(slots=True)
class Script:
    """One round of the model: its pieces, and where it waits for a test's word."""

    pieces: Sequence[Piece]
    # Before which piece it waits, and for what.
    pause_before: int = -1
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None


def says(*texts: str, reasoning: str = "", index: int = 0) -> Script:
    """A round that says the texts, a piece each, and stops."""
    deltas = [Delta(index, reasoning=reasoning)] if reasoning else []
    deltas += [Delta(index, ids=(1,), text=text) for text in texts]
    return Script(finished([Piece((delta,)) for delta in deltas]))


def calls(*calls: tuple[str, str], text: str = "") -> Script:
    """A round that calls functions, each as (name, arguments)."""
    deltas = [Delta(0, ids=(1,), text=text)] if text else []
    for place, (name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        deltas.append(Delta(0, ids=(1,), calls=(CallDelta(place, name),)))
        deltas.append(Delta(0, ids=(1,), calls=(CallDelta(place, "", arguments[:half]),)))
        deltas.append(Delta(0, ids=(1,), calls=(CallDelta(place, "", arguments[half:]),)))
    return Script(finished([Piece((delta,)) for delta in deltas], FinishReason.TOOL_CALLS))


def finished(pieces: Sequence[Piece], reason: FinishReason = FinishReason.STOP) -> list[Piece]:
    """The pieces and the one that ends them."""
    tokens = sum(len(delta.ids) for piece in pieces for delta in piece.deltas)
    indices = {delta.index for piece in pieces for delta in piece.deltas} or {0}
    last = tuple(Delta(index, finish_reason=reason) for index in sorted(indices))
    usage = Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=tokens)
    return [*pieces, Piece(last, usage)]


class ScriptedInference:
    """Plays its scripts, one a round; counts what runs and what was left early."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.generations: list[Generation] = []
        self.running = 0
        self.aborted = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.generations.append(generation)
        script = self.scripts.pop(0)
        self.running += 1
        self.idle.clear()
        whole = False
        try:
            for number, piece in enumerate(script.pieces):
                if number == script.pause_before:
                    script.paused.set()
                    await script.go_on.wait()
                yield piece
                await asyncio.sleep(0)  # others may run, as between two steps of an engine
            if script.failure:
                raise script.failure
            whole = True
        finally:
            self.running -= 1
            self.aborted += not whole
            if not self.running:
                self.idle.set()

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed:
        raise AssertionError("the gateway does not parse")

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        load = Load(0, 0, 0, slots=8, kv_cache_use=0.0, draining=False)
        yield Report((CARD, replace(CARD, id="toolless", calls_tools=False)), load)
        await asyncio.Event().wait()


class FewTools:
    """`double` a number; `wait` until cancelled; `leak` a forbidden word."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ran: list[ToolCall] = []

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        schema = '{"type": "object"}'
        return [Tool(name, f"{name} it", schema) for name in ("double", "wait", "leak")]

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        self.ran.append(call)
        self.started.set()
        await asyncio.sleep(0)
        if call.name == "double":
            return Outcome((Text(str(2 * json.loads(call.arguments)["n"])),))
        if call.name == "leak":
            return Outcome((Text("a forbidden word"),))
        if call.name != "wait":
            raise UnknownTool("no such tool")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError("waits until cancelled")


class CountedLedger(InMemoryAccounts):
    """Remembers every entry, also those that a store would take for a repetition."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[LedgerEntry] = []

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        self.entries += entries
        await super().add(entries)


class Clock:
    """Of the journal, in seconds; stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Surroundings:
    """A gateway's core with all its stand-ins, and a key to it."""

    front: Front
    key: str
    accounts: CountedLedger
    authenticator: Authenticator
    moderation: WordModeration
    context: WordContext
    clock: Clock
    inference: ScriptedInference
    tools: FewTools


def fleet_of(inference: Inference) -> Fleet:
    """One pool of one replica."""

    @asynccontextmanager
    async def opened(_: Peer) -> AsyncIterator[Inference]:
        yield inference

    return Fleet([Pool("only", "here:1")], followed, opened)


def limits_of(
    *limits: Limit,
    turns: int = 100,
    background_turns: int = 100,
    clock: Callable[[], float] = time.time,
) -> Limits:
    """Nobody is limited otherwise."""
    return Limits(
        InMemoryLimiter(),
        limits,
        clock,
        turn_seconds=600,
        turns=turns,
        background_turns=background_turns,
    )


def alone() -> Elsewhere:
    """There is no other gateway."""
    return Elsewhere(NobodyElse(), NobodyElse(), turn_seconds=30)


PERSON = Account("acct_1", "Ada", AccountKind.PERSONAL, "Be brief.")


@asynccontextmanager
async def surroundings(
    *scripts: Script,
    mode: OutputModeration = OutputModeration.BLOCK,
    max_turns: int = 8,
    bounds: TurnBounds = BOUNDS,
    account: Account = PERSON,
    limits: Limits | None = None,
) -> AsyncIterator[Surroundings]:
    moderation, context, tools = WordModeration(), WordContext(), FewTools()
    inference = ScriptedInference(*scripts)
    accounts = CountedLedger()
    authenticator = Authenticator(accounts, pepper=b"pepper")
    key = await authenticator.create_key(account)
    fleet = fleet_of(inference)
    neighbours = Neighbours(moderation, context, inference, tools)
    lanes = Lanes(context)
    turns = TurnLoop(neighbours, fleet, guards(moderation, mode), lanes, tool_rounds=3)
    admission = Admission(max_turns=max_turns)
    clock = Clock()
    journal = InMemoryJournal(clock, max_bytes=1_000_000)
    live_turns = LiveTurns(
        turns, journal, admission, accounts, alone(), limits=limits or limits_of(), bounds=bounds
    )
    front = Front(
        authenticator,
        live_turns,
        fleet,
        neighbours,
        connections=Connections(max_per_key=4),
        repeats=Repeats(accounts, secret=b"pepper"),
        conversations=ConversationKeeper(neighbours, lanes),
        streams_lost=lambda: False,
    )
    async with in_background(fleet.follow):
        await asyncio.wait_for(fleet.wait_served(), 5)
        try:
            yield Surroundings(
                front, key, accounts, authenticator, moderation, context, clock, inference, tools
            )
        finally:
            await live_turns.stop(grace=0)
