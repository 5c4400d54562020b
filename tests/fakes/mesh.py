"""Small working stand-ins for the services around the gateway, for its own tests."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from services.context_assembly.api import Assembly, Call, CallResult, Context, Text, Turn
from services.context_assembly.api import TurnNotFound as TurnAbsent
from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.admission import Admission
from services.gateway.authenticator import Authenticator
from services.gateway.fleet import Fleet, Pool
from services.gateway.front import Front
from services.gateway.guard import OutputModeration, guards
from services.gateway.ids import make_id
from services.gateway.ports import Account, AccountKind, Inference, Mesh
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
from services.moderation.api import CATEGORIES, Action, Direction, Grown, Release, Verdict
from services.shared.background import in_background
from services.shared.chat import Message, Role, Scope, Tool, ToolCall
from services.shared.peers import Peer, followed
from services.tool_runner.api import Outcome, UnknownTool

CARD = ModelCard("demo", 1000, calls_tools=True, reasons=True, summarises=False, created_at=1)
SCORES = dict.fromkeys(CATEGORIES, 0.0)


class WordModeration:
    """Blocks texts with the word `forbidden`, rewrites `secret` to `[masked]`."""

    def __init__(self, words_at_once: int = 4) -> None:
        self.screened: list[str] = []
        self.watching = 0
        self._words = words_at_once

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self.screened += texts
        return [self._verdict(text) for text in texts]

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        self.watching += 1
        try:
            async for grown in reply:
                if "forbidden" in grown.text:
                    yield Release("", blocked_by="violence")
                    return
                yield Release(grown.text.replace("secret", "[masked]"), next_words=self._words)
                if grown.final:
                    return
        finally:
            self.watching -= 1

    def _verdict(self, text: str) -> Verdict:
        if "forbidden" in text:
            return Verdict(Action.BLOCK, SCORES, ("violence",), "violence")
        if "secret" in text:
            masked = text.replace("secret", "[masked]")
            return Verdict(Action.REWRITE, SCORES, text=masked)
        return Verdict(Action.PASS, SCORES)


class WordContext:
    """Keeps turns in a dict; a word is a token."""

    def __init__(self) -> None:
        self.turns: dict[tuple[str, str], Turn] = {}
        self.assemblies: list[Assembly] = []

    async def assemble(self, assembly: Assembly) -> Context:
        self.assemblies.append(assembly)
        if assembly.parent_id:
            await self.get_turn(assembly.scope, assembly.parent_id)
        messages = [
            Message(item.role, item.text) if isinstance(item, Text) else _told(item)
            for item in (*assembly.input, *assembly.produced)
            if isinstance(item, Text | Call | CallResult)
        ]
        words = " ".join(message.text for message in messages).split()
        return Context(messages, tuple(range(len(words))), assembly.memory_ids or ("mem_1",))

    async def record(self, turn: Turn) -> None:
        self.turns[turn.scope.tenant, turn.id] = turn

    async def get_turn(self, scope: Scope, turn_id: str) -> Turn:
        try:
            return self.turns[scope.tenant, turn_id]
        except KeyError:
            raise TurnAbsent("no such turn") from None

    async def delete_turn(self, scope: Scope, turn_id: str) -> None:
        await self.get_turn(scope, turn_id)
        del self.turns[scope.tenant, turn_id]


def _told(item: Call | CallResult) -> Message:
    return Message(Role.TOOL, item.output)


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
        if call.name == "double":
            return Outcome(str(2 * json.loads(call.arguments)["n"]))
        if call.name == "leak":
            return Outcome("a forbidden word")
        if call.name != "wait":
            raise UnknownTool("no such tool")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError("waits until cancelled")


@dataclass(slots=True)
class Surroundings:
    """A gateway's core with all its stand-ins, and a key to it."""

    front: Front
    key: str
    accounts: InMemoryAccounts
    authenticator: Authenticator
    moderation: WordModeration
    context: WordContext
    inference: ScriptedInference
    tools: FewTools


def fleet_of(inference: Inference) -> Fleet:
    """One pool of one replica."""

    @asynccontextmanager
    async def opened(_: Peer) -> AsyncIterator[Inference]:
        yield inference

    return Fleet([Pool("only", "here:1")], followed, opened)


PERSON = Account("acct_1", "Ada", AccountKind.PERSONAL, "Be brief.")


@asynccontextmanager
async def surroundings(
    *scripts: Script,
    mode: OutputModeration = OutputModeration.BLOCK,
    max_turns: int = 8,
    turn_seconds: float = 30,
    account: Account = PERSON,
) -> AsyncIterator[Surroundings]:
    moderation, context, tools = WordModeration(), WordContext(), FewTools()
    inference = ScriptedInference(*scripts)
    accounts = InMemoryAccounts()
    authenticator = Authenticator(accounts, pepper=b"pepper")
    key = await authenticator.create_key(account)
    fleet = fleet_of(inference)
    mesh = Mesh(moderation, context, inference, tools)
    turns = TurnLoop(mesh, fleet, accounts, guards(moderation, mode), make_id, tool_rounds=3)
    admission = Admission(max_turns=max_turns, max_turns_per_tenant=max(1, max_turns - 1))
    front = Front(authenticator, admission, turns, fleet, context, turn_seconds=turn_seconds)
    async with in_background(fleet.follow):
        await asyncio.wait_for(fleet.wait_served(), 5)
        yield Surroundings(
            front, key, accounts, authenticator, moderation, context, inference, tools
        )
