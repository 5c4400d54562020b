"""A turn that another gateway can go on with: what it hears is kept, and heard again there."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from services.context_assembly.api import (
    Assembly,
    Compacted,
    Context,
    ContextAssembly,
    TurnNotFound,
)
from services.gateway import documents
from services.gateway.api import Ask, Completed, Response, TurnEvent
from services.gateway.authenticator import Principal
from services.gateway.joining import joined
from services.gateway.live_turns import Turns
from services.gateway.ports import Generates, Neighbours
from services.gateway.reply import TurnProgress
from services.gateway.steps import (
    Assembled,
    Dropped,
    Heard,
    Shortened,
    Steps,
    ToolBegun,
    ToolDone,
    interrupted,
    without_last,
)
from services.inference.api import Delta, FinishReason, Generation, Piece, Usage
from services.shared.conversation import Text
from services.shared.errors import MeshError
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall, ToolMode
from services.tool_runner.api import Failure, Outcome, ToolRunner

# What the model said is kept with the turn's next event, and after so long without one: moderation
# may hold back 40 words, which another gateway would have to have written anew.
_KEPT_AFTER_SECONDS = 1.0
# So many tokens at the end of what was heard may have brought no text yet.
_MOST_SILENT = 16
_UNKNOWN = Outcome(
    (Text("error: it is not known whether the tool has run: the gateway that ran it has died"),),
    Failure.FAILED,
)


class ResumableTurns:
    """`Turns`, each of which hears others through its own steps."""

    def __init__(self, neighbours: Neighbours, loop_over: Callable[[Neighbours], Turns]) -> None:
        self._neighbours = neighbours
        self._loop_over = loop_over
        self._plain = loop_over(neighbours)

    async def run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]:
        adopted = progress.steps.past.origin is not None
        if adopted:
            await self._check_recorded(principal, ask, progress)
        heard = heard_again(self._neighbours, progress.steps)
        async with aclosing(self._loop_over(heard).run(principal, ask, progress)) as events:
            async for event in events:
                if adopted and isinstance(event, Completed):
                    await self._check_recorded(principal, ask, progress)
                yield event

    async def _check_recorded(self, principal: Principal, ask: Ask, progress: TurnProgress) -> None:
        """Raises what a turn has failed with in the gateway that made it before.

        That gateway may live, and have lost Redis. What was recorded first stays, and its readers
        were told so.
        """
        scope = principal.account.scope(ask.safety_identifier)
        try:
            turn = await self._neighbours.context.get_turn(scope, progress.response_id)
        except TurnNotFound:
            return
        error = documents.load(turn).error if turn.document else None
        if error:
            raise error.error()

    async def record_failed(self, progress: TurnProgress, response: Response) -> None:
        await self._plain.record_failed(progress, response)

    async def count(self, principal: Principal, ask: Ask) -> int:
        return await self._plain.count(principal, ask)


def heard_again(
    neighbours: Neighbours, steps: Steps, clock: Callable[[], float] = time.monotonic
) -> Neighbours:
    """Moderation is asked again: it has no effect, and the guards need its open streams."""
    context: Any = _SteppedContext(neighbours.context, steps)
    return Neighbours(
        neighbours.moderation,
        context,
        _SteppedInference(neighbours.inference, steps, clock),
        _SteppedTools(neighbours.tools, steps),
    )


class _SteppedContext:
    """`ContextAssembly` that assembles as it did; all else is asked as it is."""

    def __init__(self, context: ContextAssembly, steps: Steps) -> None:
        self._context = context
        self._steps = steps
        self._contexts = iter([*steps.past.contexts])
        self._summaries = iter([*steps.past.summaries])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def assemble(self, assembly: Assembly) -> Context:
        if known := next(self._contexts, None):
            return known
        context = await self._context.assemble(assembly)
        await self._steps.note(Assembled(context))
        return context

    async def compact(self, assembly: Assembly) -> Compacted:
        if known := next(self._summaries, None):
            return known
        compacted = await self._context.compact(assembly)
        await self._steps.note(Shortened(compacted))
        return compacted


class _SteppedTools:
    """`ToolRunner` that runs no call twice: of one that may have run, the model is told so."""

    def __init__(self, tools: ToolRunner, steps: Steps) -> None:
        self._tools = tools
        self._steps = steps

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        return await self._tools.list_tools(scope)

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        past = self._steps.past
        if known := past.outcomes.get(call.id):
            return known
        if call.id in past.begun:
            return await self._done(call, _UNKNOWN)
        await self._steps.note(ToolBegun(call.id))
        await self._steps.keep()
        return await self._done(call, await self._tools.run(scope, call))

    async def _done(self, call: ToolCall, outcome: Outcome) -> Outcome:
        await self._steps.note(ToolDone(call.id, outcome))
        await self._steps.keep()
        return outcome


class _SteppedInference:
    """`Generates` that says again what the model said; from there another replica goes on."""

    def __init__(self, inference: Generates, steps: Steps, clock: Callable[[], float]) -> None:
        self._inference = inference
        self._steps = steps
        self._clock = clock
        self._round = -1

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self._round += 1
        number, heard = self._round, self._steps.past.rounds.get(self._round, [])
        before: Sequence[int] = ()
        if heard and heard[-1].usage is None:
            generation, heard, before = await self._continued(generation, number, heard)
        for piece in heard:
            yield piece
        if heard and heard[-1].usage is not None:
            return
        kept = self._clock()
        async with (
            aclosing(self._inference.generate(generation)) as pieces,
            aclosing(joined(pieces)) as heard_now,
        ):
            async for piece in heard_now:
                told = _with_usage(piece, len(generation.prompt_ids) - len(before), len(before))
                await self._steps.note(Heard(number, told))
                if self._clock() - kept >= _KEPT_AFTER_SECONDS:
                    await self._steps.keep()
                    kept = self._clock()
                yield told

    async def parse(self, *asked: Any, **named: Any) -> Any:
        return await self._inference.parse(*asked, **named)

    async def _continued(
        self, generation: Generation, number: int, heard: list[Piece]
    ) -> tuple[Generation, list[Piece], Sequence[int]]:
        """What is asked of another replica, what was heard already, and the tokens of that.

        Raises `StreamInterrupted` where something was shown that nobody can go on with.
        """
        if not self._steps.repeating:
            # Nothing of the round was shown: it begins anew.
            await self._steps.note(Dropped(number, 0, whole=True))
            return generation, [], ()
        if not _can_go_on(generation, heard):
            raise interrupted()
        ids = await self._shown_ids(generation, heard)
        silent = sum(len(delta.ids) for piece in heard for delta in piece.deltas) - len(ids)
        if silent:
            await self._steps.note(Dropped(number, silent))
            heard = without_last(heard, silent)
        left = (generation.sampling.max_tokens or 0) - len(ids)
        if left <= 0:
            usage = Usage(len(generation.prompt_ids), 0, len(ids))
            last = Piece((Delta(0, finish_reason=FinishReason.LENGTH),), usage)
            await self._steps.note(Heard(number, last))
            return generation, [*heard, last], ids
        seed = generation.sampling.seed
        sampling = replace(
            generation.sampling,
            max_tokens=left,
            # The same seed would begin the same row of random numbers again.
            seed=None if seed is None else (seed * 1_000_003 + len(ids)) % 2**31,
        )
        going_on = replace(
            generation,
            request_id=f"{generation.request_id}.{len(ids)}",
            prompt_ids=(*generation.prompt_ids, *ids),
            begun_tokens=len(ids),
            sampling=sampling,
        )
        return going_on, heard, ids

    async def _shown_ids(self, generation: Generation, heard: Sequence[Piece]) -> Sequence[int]:
        """The tokens whose text was heard: a token may come before its text does."""
        ids = [token for piece in heard for delta in piece.deltas for token in delta.ids]
        text = "".join(delta.text for piece in heard for delta in piece.deltas)
        stop = generation.sampling.stop
        for silent in range(min(_MOST_SILENT, len(ids)) + 1):
            shown = ids[: len(ids) - silent]
            try:
                parsed = await self._inference.parse(
                    generation.model, generation.prompt_ids, shown, generation.calling, stop
                )
            except MeshError:
                raise interrupted() from None
            if parsed.text == text and not parsed.calls:
                return shown
        raise interrupted()


def _can_go_on(generation: Generation, heard: Sequence[Piece]) -> bool:
    """Whether the model is in the middle of a free text, which any replica can be put to.

    In a format, a call or a thought it is at a place of a grammar or a parser that none can.
    """
    calling = generation.calling
    plain = generation.format is None and generation.sampling.n == 1
    free = not calling.tools or calling.choice.mode in {ToolMode.AUTO, ToolMode.NONE}
    deltas = [delta for piece in heard for delta in piece.deltas]
    return plain and free and not any(delta.reasoning or delta.calls for delta in deltas)


def _with_usage(piece: Piece, prompt_tokens: int, before: int) -> Piece:
    """What the round used as a whole, where a part of it ran elsewhere."""
    if piece.usage is None or not before:
        return piece
    used = piece.usage
    usage = replace(
        used,
        prompt_tokens=prompt_tokens,
        cached_tokens=min(used.cached_tokens, prompt_tokens),
        completion_tokens=before + used.completion_tokens,
    )
    return replace(piece, usage=usage)
