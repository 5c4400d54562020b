"""Turns under way. Each is a task of its own, which any number of readers watch.

A carrier (SSE, gRPC, a socket) never runs a turn: it starts one and reads its events by
`(id, after)`. So a second reader, a resumed stream and a turn in the background are the same thing.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import structlog

from services.gateway.admission import Admission
from services.gateway.api import (
    Ask,
    Completed,
    Continued,
    Draining,
    EventsGone,
    Failed,
    InvalidKey,
    ItemDone,
    LeaseLost,
    Numbered,
    Response,
    ResponseErased,
    Started,
    TurnCancelled,
    TurnEvent,
    TurnLeft,
    TurnStopped,
)
from services.gateway.authenticator import Principal
from services.gateway.elsewhere import Elsewhere
from services.gateway.intake import with_ids
from services.gateway.limits import Limits
from services.gateway.live_turn import MOST_AHEAD, LiveTurn, ended, moved, stop, stopped
from services.gateway.plain import dumped, past_from
from services.gateway.ports import Accounts, Journal, Ledger, LedgerEntry
from services.gateway.reply import TurnProgress
from services.gateway.retelling import is_last, so_far
from services.gateway.steering import (
    Steer,
    following,
    over,
    unanswered,
    unsupported,
    waits_for_caller,
)
from services.gateway.steps import Origin, Past, Step, Steps, interrupted
from services.gateway.together import both
from services.inference.api import Usage
from services.shared.background import failure_of
from services.shared.conversation import Call, Compaction, Item, Reasoning, RunBy
from services.shared.deadline import due_anew_in
from services.shared.errors import DeadlineExceeded, MeshError
from services.shared.ids import make_response_id
from services.shared.scope import Scope

# After so many events that a turn repeats without waiting for anybody, others have their turn.
_REPEATED_AT_ONCE = 32
_log = structlog.get_logger()
_LEFT = "nobody reads this response any more"
_LEAVING = "this gateway is shutting down"
# How long readers of turns that go to another gateway have to hear of it, at most.
_TOLD_BEFORE_SECONDS = 1.0


class Turns(Protocol):
    """`TurnLoop`, or what watches it."""

    def run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]: ...

    async def record_failed(self, progress: TurnProgress, response: Response) -> None:
        """Keeps a turn that failed or was cancelled, with what it had said."""

    async def count(self, principal: Principal, ask: Ask) -> int:
        """How many tokens the model would read first. Nothing is moderated, run or kept."""


@dataclass(frozen=True, slots=True)
class TurnBounds:
    """How long a turn may take, and what is kept of it; all but `event_bytes` in seconds."""

    turn_seconds: float
    # How long somebody who started a turn may take to read its first event.
    joining_seconds: float
    # For how long a writer that says nothing keeps its lease on the journal.
    lease_seconds: float
    # How long the events are kept after the turn's end.
    kept_seconds: float
    # A turn of more events than this ends incomplete.
    event_bytes: int


class LiveTurns:
    """Starts turns, and owns what each holds: its task, its place, its deadline, its ledger entry.

    All of these are given back however the turn ends.
    """

    def __init__(
        self,
        turns: Turns,
        journal: Journal,
        admission: Admission,
        ledger: Ledger,
        elsewhere: Elsewhere,
        *,
        limits: Limits,
        bounds: TurnBounds,
    ) -> None:
        self._elsewhere = elsewhere
        self._limits = limits
        self._turns = turns
        self._journal = journal
        self.admission = admission
        self._ledger = ledger
        self._bounds = bounds
        self._live: dict[str, LiveTurn] = {}

    async def start(self, principal: Principal, ask: Ask, response_id: str = "") -> str:
        """Admits a turn and lets it run; the id of its response, which the caller may have made.

        It stops when its last reader has left, unless `ask.background`; and when no reader comes
        within `joining_seconds`. Raises `TooManyTurns`, `MeshFull`, `Draining`, `RateLimited` or
        `BudgetSpent`.
        """
        response_id = response_id or make_response_id(ask.tree_id)
        with ExitStack() as held:
            held.enter_context(self.admission.admitted())
            await self._begin(principal, ask, TurnProgress(response_id), held)
        return response_id

    async def _begin(
        self,
        principal: Principal,
        ask: Ask,
        progress: TurnProgress,
        held: ExitStack,
        *,
        answers: Sequence[Steer] = (),
    ) -> None:
        """Lets a turn run that has its place already; the place is in `held`, and goes to it."""
        await self._limits.reserve(principal, ask, progress.response_id)
        try:
            await self._begin_reserved(principal, ask, progress, held, answers)
        except BaseException:
            scope = principal.account.scope(ask.safety_identifier)
            await self._limits.settle(progress.response_id, scope, principal.key_id, 0)
            raise

    async def _begin_reserved(
        self,
        principal: Principal,
        ask: Ask,
        progress: TurnProgress,
        held: ExitStack,
        answers: Sequence[Steer],
    ) -> None:
        response_id = progress.response_id
        scope = principal.account.scope(ask.safety_identifier)
        epoch = await self._journal.claim(
            response_id,
            scope,
            seconds=self._bounds.lease_seconds,
            # Sent again, it has to be found by any gateway.
            waited_for=not ask.background and ask.once is None,
        )
        turn = LiveTurn(principal, ask, scope, progress, epoch, answers=answers)
        if self._journal.shared:
            progress.steps = self._steps(response_id, epoch, Past())
            await progress.steps.note(Origin(principal.account, principal.key_id, ask))
        self._live[response_id] = turn
        turn.task = asyncio.create_task(self._run(turn, held.pop_all()))
        if not ask.background:
            loop = asyncio.get_running_loop()
            # By its id: what the turn holds is let go when it ends, not when this comes.
            loop.call_later(self._bounds.joining_seconds, self._stop_unread, response_id)

    def _steps(self, response_id: str, epoch: int, past: Past, repeating: int = 0) -> Steps:
        journal = self._journal

        async def note(step: Step) -> None:
            await journal.note(response_id, epoch, dumped(step))

        return Steps(past, note, partial(journal.keep_notes, response_id, epoch), repeating)

    async def adopt(
        self, response_id: str, principal_of: Callable[[Origin], Principal], *, goes_on: bool
    ) -> bool:
        """Takes over a turn whose gateway has died; says whether it was this one that did.

        Without `goes_on`, it ends with what it has said and `StreamInterrupted`.
        """
        if response_id in self._live or self.admission.closed:
            return False
        owner = await self._journal.owner(response_id)
        try:
            epoch = await self._journal.claim(
                response_id, owner, seconds=self._bounds.lease_seconds, waited_for=False
            )
        except LeaseLost:
            return False
        shown, notes = await both(
            self._journal.so_far(response_id), self._journal.notes(response_id)
        )
        past = past_from(notes)
        if past.origin is None or (shown and is_last(shown[-1])):
            await self._end_adopted(response_id, epoch, shown, past)
            return True
        progress = TurnProgress(response_id, used=past.used)
        progress.steps = self._steps(response_id, epoch, past, len(shown))
        if shown and isinstance(shown[0], Started):
            progress.created_at_ms = shown[0].created_at_ms
        principal, ask = principal_of(past.origin), past.origin.ask
        turn = LiveTurn(principal, ask, owner, progress, epoch, joined=True, shown=shown)
        if goes_on:
            progress.used = Usage()
        else:
            turn.stopped_by = interrupted()
        self._live[response_id] = turn
        with ExitStack() as held:
            held.enter_context(self.admission.taken_over())
            turn.task = asyncio.create_task(self._run(turn, held.pop_all()))
        return True

    async def caught_up(self, response_id: str, seconds: float) -> None:
        """Waits, but not longer, until a turn that was taken over has something new to say."""
        turn = self._live.get(response_id)
        if turn and turn.shown:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await turn.caught_up.wait()

    async def _end_adopted(
        self, response_id: str, epoch: int, shown: Sequence[TurnEvent], past: Past
    ) -> None:
        """Of a turn that had ended, or of which nobody knows what it was, only the end is left."""
        last = shown[-1] if shown else None
        if past.origin:
            used = last.response.usage if isinstance(last, Completed) else past.used
            scope = await self._journal.owner(response_id)
            model = past.origin.ask.model
            await self._limits.settle(response_id, scope, past.origin.key_id, _tokens(used))
            await self._ledger.add([_entry(response_id, scope, past.origin.key_id, model, used)])
        if last is None or not is_last(last):
            failed = Failed.with_error(interrupted())
            await self._journal.append(response_id, epoch, len(shown), failed)
        await self._journal.finish(response_id, epoch, keep_seconds=self._bounds.kept_seconds)

    async def steer(self, response_id: str, words: Sequence[Item]) -> Steer:
        """Gives a turn words to take in at its next step.

        Raises `SteeringRefused`, `TooManySteers`, or why the turn is being stopped.
        """
        turn = self._live.get(response_id)
        if turn is None:
            if await self._lives_elsewhere(response_id):
                return self._elsewhere.steer(response_id, words)
            raise over()
        if not turn.ask.steerable or not turn.ask.generate or turn.ask.sampling.n > 1:
            raise unsupported()
        return turn.progress.inbox.put(words)

    async def read(self, response_id: str, after: int = -1) -> AsyncGenerator[Numbered, None]:
        """The events after a number, as they come. Raises `EventsGone`.

        Closing the generator is leaving. The last reader of a turn that is not in the background
        stops it, and its generator is closed only when the turn has stopped.
        """
        turn = self._live.get(response_id)
        reader = object()
        if turn:
            turn.joined = True
            turn.readers[reader] = after + 1
        try:
            async with AsyncExitStack() as reading:
                if self._journal.shared:
                    alone = partial(self._journal.is_alone, response_id)
                    attending = self._elsewhere.attending(response_id, unless=alone)
                    await reading.enter_async_context(attending)
                events = self._journal.read(response_id, after)
                await reading.enter_async_context(aclosing(events))
                async for numbered in events:
                    if turn:
                        moved(turn, reader, numbered.number + 1)
                    yield numbered
        finally:
            if turn:
                await self._left(turn, reader)

    async def ended_well(self, response_id: str) -> bool | None:
        """Whether a turn is under way or has ended without failing; None: its events are gone.

        Of one that is being stopped it is waited for the end.
        """
        turn = self._live.get(response_id)
        if turn and turn.task:
            if not turn.stopped_by:
                return True
            await asyncio.wait([turn.task])
        try:
            events = await self._journal.ends(response_id)
        except EventsGone:
            return None
        return not (events and isinstance(events[-1], Failed))

    def is_under_way(self, response_id: str) -> bool:
        return response_id in self._live

    def words_wait_for(self, response_id: str) -> bool:
        """Whether a turn that is under way has words to take in."""
        turn = self._live.get(response_id)
        return turn is not None and turn.progress.inbox.waits

    async def so_far(self, response_id: str) -> Sequence[TurnEvent]:
        """The events of a turn until now. Raises `EventsGone`."""
        return await self._journal.so_far(response_id)

    async def ends(self, response_id: str) -> Sequence[TurnEvent]:
        """Of these the first and the last two. Raises `EventsGone`."""
        return await self._journal.ends(response_id)

    async def count(self, principal: Principal, ask: Ask) -> int:
        """How many tokens the model would read first, without a turn and its place."""
        return await self._turns.count(principal, ask)

    async def input_of(self, response_id: str) -> Sequence[Item] | None:
        """What the request of a turn under way brought; None: it is not there, or not read yet."""
        turn = self._live.get(response_id)
        if turn is None and await self._lives_elsewhere(response_id):
            return await self._elsewhere.input_of(response_id)
        return turn.progress.opened.ask.input if turn and turn.progress.opened else None

    async def cancel(self, response_id: str) -> None:
        """Stops a turn, and returns when it has ended; one that has ended stays as it is."""
        turn = self._live.get(response_id)
        if turn is None:
            if await self._lives_elsewhere(response_id):
                await self._elsewhere.cancel(response_id)
            return
        if not turn.progress.recording:
            stop(turn, TurnCancelled("the response was cancelled"))
        await ended(turn)

    async def erase(self, response_id: str) -> None:
        """Stops a turn, of which nothing is kept, and returns when it has ended."""
        if turn := self._live.get(response_id):
            turn.erased = True
            await stopped(turn, ResponseErased("the response was erased"))
        elif await self._lives_elsewhere(response_id):
            await self._elsewhere.erase(response_id)

    async def _lives_elsewhere(self, response_id: str) -> bool:
        """Whether another gateway makes it, or did until it died."""
        try:
            events = await self._journal.ends(response_id)
        except EventsGone:
            return False
        return not (events and is_last(events[-1]))

    async def owner(self, response_id: str) -> Scope:
        """Whose turn it is. Raises `EventsGone`."""
        turn = self._live.get(response_id)
        return turn.scope if turn else await self._journal.owner(response_id)

    async def stop(self, grace: float) -> None:
        """Lets no turn in any more, waits for those under way, and stops the last of them.

        `grace` is how many seconds they have to end by themselves. With a shared journal, those
        that can be read elsewhere go on there.
        """
        self.admission.close()
        for turn in self._live.values():
            turn.progress.inbox.close(Draining(_LEAVING))
        # Connections are cut off at the end of the grace. Before, whoever reads is told.
        early = min(_TOLD_BEFORE_SECONDS, grace / 4) if self._journal.shared else 0
        tasks = [turn.task for turn in self._live.values() if turn.task]
        if tasks:
            await asyncio.wait(tasks, timeout=grace - early)
        for turn in self._live.values():
            # Another gateway takes it over at once.
            turn.given_up = self._may_move(turn) and not turn.ending
        self._journal.leave()
        left = [*self._live.values()]
        await asyncio.gather(*(stopped(turn, TurnStopped(_LEAVING)) for turn in left))

    def _may_move(self, turn: LiveTurn) -> bool:
        """Whether another gateway can have it, and somebody may come to read it there."""
        shared = self._journal.shared and not self._journal.is_alone(turn.id)
        return shared and turn.ask.can_be_read_again

    async def keep_leases(self) -> None:
        """Renews the leases of turns that may have nothing to say for a while; never ends."""
        while True:
            await asyncio.sleep(self._bounds.lease_seconds / 3)
            await asyncio.gather(*map(self._keep_lease, [*self._live.values()]))

    async def stop_revoked(self, accounts: Accounts) -> None:
        """Stops the turns whose keys are no longer valid."""
        for key_id in {turn.principal.key_id for turn in self._live.values()}:
            stored = await accounts.find_key(key_id)
            if stored is None or stored.revoked:
                self._stop_turns_of(key_id)

    def _stop_turns_of(self, key_id: str) -> None:
        for turn in [*self._live.values()]:
            if turn.principal.key_id == key_id:
                stop(turn, InvalidKey("this API key was revoked"))

    async def _keep_lease(self, turn: LiveTurn) -> None:
        seconds = self._bounds.lease_seconds
        failure = await failure_of(self._journal.renew(turn.id, turn.epoch, seconds=seconds))
        if isinstance(failure, LeaseLost) and not turn.ending:
            turn.given_up = True
            stop(turn, failure)
        # One whose readers are in other gateways.
        if turn.joined and not turn.readers and not turn.ask.background:
            await self._stop_unless_attended(turn)

    async def _run(self, turn: LiveTurn, held: ExitStack) -> None:
        turn.begun = True
        with held:
            try:
                with due_anew_in(self._bounds.turn_seconds):
                    failure = await failure_of(self._write(turn))
                turn.ending = True
                # Redis may have been lost meanwhile: then nobody else can have it.
                turn.given_up = turn.given_up and not self._journal.is_alone(turn.id)
                if turn.given_up or isinstance(failure, LeaseLost):
                    await self._give_up(turn)
                    return
                # From here on no words come in, and what came is looked at once.
                steers = turn.progress.inbox.take()
                unsettled = await failure_of(self._settle(turn))
                used, key_id = _tokens(turn.progress.used), turn.principal.key_id
                await failure_of(self._limits.settle(turn.id, turn.scope, key_id, used))
                failure = failure or unsettled
                await failure_of(self._record_failed(turn, failure))
                continued = await self._go_on(turn, failure, steers, held)
                await failure_of(self._finish(turn, failure, continued))
            finally:
                turn.caught_up.set()
                del self._live[turn.id]

    async def _give_up(self, turn: LiveTurn) -> None:
        """Whoever goes on with it writes the bill, and need not wait for the lease's end."""
        _log.info("another gateway goes on with a turn", response_id=turn.id)
        for steer in (*turn.progress.inbox.take(), *turn.answers):
            steer.refuse(over())
        await failure_of(self._journal.renew(turn.id, turn.epoch, seconds=0))

    async def _go_on(
        self, turn: LiveTurn, failure: MeshError | None, steers: Sequence[Steer], held: ExitStack
    ) -> Continued | None:
        """Begins the turn that answers what came; it has the place of the one that has ended."""
        for steer in turn.answers:
            steer.refuse(unanswered(failure) if failure else over())  # unless it was taken in
        response = turn.response
        if response and not failure and _waits_for_caller(response):
            failure = waits_for_caller()
        if failure or not response or not steers:
            for steer in steers:
                steer.refuse(failure or over())
            return None
        words = tuple(item for steer in steers for item in steer.words)
        asked = turn.progress.opened.ask if turn.progress.opened else turn.ask
        ask = following(asked, response, words)
        progress = TurnProgress(make_response_id(ask.tree_id))
        ask = with_ids(ask, progress.response_id, all_anew=bool(ask.conversation))
        beginning = self._begin(turn.principal, ask, progress, held, answers=steers)
        if failure := await failure_of(beginning):
            for steer in steers:
                steer.refuse(unanswered(failure))
            return None
        return Continued(progress.response_id, ask.input)

    async def _write(self, turn: LiveTurn) -> None:
        if turn.stopped_by:
            raise turn.stopped_by
        seconds = self._bounds.turn_seconds
        running = self._turns.run(turn.principal, turn.ask, turn.progress)
        try:
            async with asyncio.timeout(seconds), aclosing(running) as events:
                async for event in events:
                    if isinstance(event, Completed):
                        turn.response = event.response
                        # The bill is written before anybody hears that the turn is complete.
                        await self._settle(turn)
                    await self._append(turn, event)
        except TimeoutError:
            raise DeadlineExceeded(f"the turn took more than {seconds:g} seconds") from None
        except asyncio.CancelledError:
            raise turn.stopped_by or TurnStopped("the turn was stopped") from None

    async def _append(self, turn: LiveTurn, event: TurnEvent) -> None:
        if turn.length < len(turn.shown):
            _check_same(event, turn.shown[turn.length])
            turn.length += 1
            turn.progress.steps.repeating = len(turn.shown) - turn.length
            if turn.length == len(turn.shown):
                turn.caught_up.set()
            if not turn.length % _REPEATED_AT_ONCE:
                await asyncio.sleep(0)
            return
        kept = await self._journal.append(turn.id, turn.epoch, turn.length, event)
        turn.length += 1
        if isinstance(event, Started):
            for steer in turn.answers:
                steer.taken_in(turn.id)
        if kept > self._bounds.event_bytes:
            turn.progress.too_many_events = True
        while turn.ahead >= MOST_AHEAD:
            await turn.reader_moved.wait()

    async def _record_failed(self, turn: LiveTurn, failure: MeshError | None) -> None:
        """What became of a response has to be found by whoever knows its id.

        What failed before it started was refused, and is no response.
        """
        ask = turn.ask
        if failure is None or turn.erased or not ask.store:
            return
        if not (ask.background or ask.tells_id):
            return
        said = so_far(await self._journal.so_far(turn.id))
        if said.started is None:
            return
        response = said.failed(Failed.with_error(failure))
        if ask.background or response.output or not _is_refusal(failure):
            await self._turns.record_failed(turn.progress, response)

    async def _finish(
        self, turn: LiveTurn, failure: MeshError | None, continued: Continued | None
    ) -> None:
        """Its last event, where it failed or another turn goes on, and the end of its journal.

        Raises `LeaseLost` where somebody else writes its events now, who will finish them.
        """
        event = Failed.with_error(failure) if failure else continued
        if event:
            number = max(turn.length, len(turn.shown))
            await self._journal.append(turn.id, turn.epoch, number, event)
        await self._journal.finish(turn.id, turn.epoch, keep_seconds=self._bounds.kept_seconds)

    async def _settle(self, turn: LiveTurn) -> None:
        """Writes what the turn has used until now, once; to the ledger a repetition is no entry."""
        if turn.settled:
            return
        used = turn.progress.used
        entry = _entry(turn.id, turn.scope, turn.principal.key_id, turn.ask.model, used)
        await self._ledger.add([entry])
        turn.settled = True

    def _stop_unread(self, response_id: str) -> None:
        turn = self._live.get(response_id)
        if turn and not turn.joined:
            stop(turn, TurnLeft(_LEFT))

    async def _left(self, turn: LiveTurn, reader: object) -> None:
        del turn.readers[reader]
        turn.reader_moved.notify()
        if not turn.readers and not turn.ask.background:
            await self._stop_unless_attended(turn)

    async def _stop_unless_attended(self, turn: LiveTurn) -> None:
        if turn.given_up:
            return
        if not self._journal.is_alone(turn.id) and await self._elsewhere.attended(turn.id):
            return
        if not turn.readers and not turn.given_up:
            await stopped(turn, TurnLeft(_LEFT))


def _waits_for_caller(response: Response) -> bool:
    return any(isinstance(item, Call) and item.run_by is RunBy.CALLER for item in response.output)


def _is_refusal(failure: MeshError) -> bool:
    """Whether the caller is told to come again, or what to change."""
    return failure.status == "INVALID_ARGUMENT" or "retry_after" in failure.details


def _entry(response_id: str, scope: Scope, key_id: str, model: str, used: Usage) -> LedgerEntry:
    at_ms = time.time_ns() // 1_000_000
    return LedgerEntry(response_id, scope, key_id, model, at_ms, used)


def _tokens(used: Usage) -> int:
    return used.prompt_tokens + used.completion_tokens


def _check_same(event: TurnEvent, shown: TurnEvent) -> None:
    """Raises `StreamInterrupted` where a turn that runs again says something else."""
    if event != shown and _unsealed(event) != _unsealed(shown):
        raise interrupted()


def _unsealed(event: TurnEvent) -> TurnEvent:
    """Sealed again, the same words look different."""
    if isinstance(event, ItemDone) and isinstance(event.item, Reasoning | Compaction):
        return replace(event, item=replace(event.item, opaque=""))
    return event
