"""One choice of a reply: what the model writes, through the guard, as events and items."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Literal

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    Finish,
    ItemDone,
    ReasoningDelta,
    TextDelta,
    TurnEvent,
)
from services.gateway.guard import Blocked, Guard, OpenGuard
from services.gateway.token_matching import TokenMatcher
from services.inference.api import CallDelta, Delta, FinishReason, TokenLogprob
from services.shared.conversation import Call, Item, Phase, Reasoning, Role, RunBy, said
from services.shared.tools import Tool, text_arguments

Kind = Literal["msg", "rs", "fc"]
MakeId = Callable[[str], str]
# Seals what the model thought, for a caller that keeps it.
Seal = Callable[[str], str]
_CUT = {FinishReason.LENGTH: Finish.LENGTH, FinishReason.INVALID_CALL: Finish.INVALID_CALL}


@dataclass(slots=True)
class _Segment:
    """The item that is growing now."""

    kind: Kind
    id: str
    guard: Guard
    stack: AsyncExitStack
    # Of a call: its place among the model's calls, and the call without its arguments.
    call_index: int = -1
    call: Call | None = None
    started: bool = False
    shown: list[str] = field(default_factory=list)


class Choice:
    """Grows by the model's deltas; `items` are those that are whole."""

    def __init__(
        self,
        index: int,
        functions: Mapping[str, Tool],
        open_guard: OpenGuard,
        make_id: MakeId,
        seal: Seal | None,
    ) -> None:
        self._index = index
        self._seal = seal
        self._functions = functions
        self._open_guard = open_guard
        self._make_id = make_id
        self._segment: _Segment | None = None
        self._blanks = ""
        self._tokens = TokenMatcher()
        self.items: list[Item] = []
        # Of the tokens of messages, by the message's id.
        self.logprobs: dict[str, list[TokenLogprob]] = {}
        self.own_calls: list[Call] = []
        self.finish: Finish | None = None
        # Whether moderation has masked or stopped any of it.
        self.withheld = False

    async def grow(self, delta: Delta) -> list[TurnEvent]:
        """The events that the delta brings; none once the choice has ended."""
        if self.finish:
            return []
        events: list[TurnEvent] = []
        try:
            await self._grow(delta, events)
        except Blocked:
            self.withheld = True
            events += await self._stop(Finish.CONTENT_FILTER)
        return events

    async def cut(self) -> list[TurnEvent]:
        """Ends it here, because more events came than are kept of a turn."""
        return [] if self.finish else await self._stop(Finish.TOO_MANY_EVENTS)

    async def close(self) -> None:
        """Lets go of the guard, whatever has become of the choice."""
        if self._segment:
            self.withheld = self.withheld or self._segment.guard.rewritten
            await self._segment.stack.aclose()
            self._segment = None

    async def _grow(self, delta: Delta, events: list[TurnEvent]) -> None:
        self._tokens.heard(delta.logprobs)
        if delta.reasoning:
            await self._enter("rs", events)
            await self._show(delta.reasoning, events)
        if text := self._worth_showing(delta.text):
            await self._enter("msg", events)
            await self._show(text, events)
        for call in delta.calls:
            await self._enter_call(call, events)
            await self._show(call.arguments, events)
        if delta.finish_reason:
            await self._end(delta.finish_reason, events)

    def _worth_showing(self, text: str) -> str:
        """The text, but blanks wait for words: before a call or a thought they mean nothing."""
        if self._segment and self._segment.kind == "msg":
            return text
        text, self._blanks = self._blanks + text, ""
        if text.strip():
            return text
        self._blanks = text
        return ""

    async def _enter(self, kind: Kind, events: list[TurnEvent]) -> _Segment:
        if self._segment and self._segment.kind == kind:
            return self._segment
        await self._leave(events, Phase.COMMENTARY)
        return await self._open(kind)

    async def _enter_call(self, delta: CallDelta, events: list[TurnEvent]) -> None:
        if self._segment and self._segment.call_index == delta.index:
            return
        await self._leave(events, Phase.COMMENTARY)
        segment = await self._open("fc")
        segment.call_index = delta.index
        # What is not the caller's, the plan is asked about before it is run or shown.
        function = self._functions.get(delta.name)
        run_by = RunBy.CALLER if function else RunBy.MESH
        segment.id = self._make_id("mcp") if run_by is RunBy.MESH else segment.id
        segment.call = Call(
            segment.id,
            self._make_id("call"),
            delta.name,
            arguments="",
            run_by=run_by,
            parallel=delta.index > 0,
            text_input=function is not None and function.text_input is not None,
        )

    async def _open(self, kind: Kind) -> _Segment:
        stack = AsyncExitStack()
        guard = await stack.enter_async_context(self._open_guard())
        self._segment = _Segment(kind, self._make_id(kind), guard, stack)
        self._blanks = ""
        self._tokens.seek()
        return self._segment

    async def _show(self, text: str, events: list[TurnEvent], *, final: bool = False) -> None:
        segment = self._segment
        assert segment is not None
        shown = await segment.guard.feed(text, final=final)
        if shown:
            segment.shown.append(shown)
            events += self._deltas(segment, shown)

    def _deltas(self, segment: _Segment, shown: str) -> list[TurnEvent]:
        if segment.guard.rewritten:
            self._tokens.lose()
        # Also where nobody is told of them, so that those of the text behind it are found.
        logprobs = self._tokens.shown(shown)
        if segment.kind == "rs":
            return [ReasoningDelta(self._index, segment.id, shown)]
        if segment.kind == "msg":
            if logprobs:
                self.logprobs.setdefault(segment.id, []).extend(logprobs)
            return [TextDelta(self._index, segment.id, shown, logprobs)]
        started = self._call_started(segment)
        return [*started, ArgumentsDelta(self._index, segment.id, shown)] if segment.started else []

    def _call_started(self, segment: _Segment) -> list[TurnEvent]:
        """A caller's call begins with its first arguments; one of the mesh's when it is run."""
        if segment.started or segment.call is None or segment.call.run_by is RunBy.MESH:
            return []
        segment.started = True
        return [CallStarted(self._index, segment.call)]

    async def _leave(self, events: list[TurnEvent], phase: Phase) -> None:
        """The growing item is whole; a message was for `phase`."""
        if self._segment is None:
            return
        await self._show("", events, final=True)
        segment = self._segment
        events += self._call_started(segment)
        events += self._keep(segment, phase)
        await self.close()

    async def _stop(self, finish: Finish) -> list[TurnEvent]:
        """Ends the choice in the middle of an item, which keeps what was shown of it.

        An item of which nothing was shown is none, and no call is run any more.
        """
        segment = self._segment
        await self.close()
        events = self._keep(segment, Phase.UNSAID) if segment and segment.shown else []
        self.own_calls.clear()
        self.finish = finish
        return events

    def _keep(self, segment: _Segment, phase: Phase) -> list[TurnEvent]:
        text = "".join(segment.shown)
        if segment.call and segment.call.run_by is RunBy.MESH:
            # The end event of a call of the mesh's is sent after its tool has run.
            self.own_calls.append(replace(segment.call, arguments=text))
            return []
        item = self._item(segment, text, phase)
        self.items.append(item)
        return [ItemDone(self._index, item)]

    async def _end(self, reason: FinishReason, events: list[TurnEvent]) -> None:
        # What was cut may have become anything.
        await self._leave(events, Phase.UNSAID if reason in _CUT else Phase.FINAL_ANSWER)
        called = any(isinstance(item, Call) for item in self.items)
        self.finish = Finish.FUNCTION_CALLS if called else Finish.STOP
        if reason in _CUT:
            self.own_calls.clear()  # the last one is not whole, or none
            self.finish = _CUT[reason]

    def _item(self, segment: _Segment, text: str, phase: Phase) -> Item:
        if segment.kind == "rs":
            return Reasoning(segment.id, text, opaque=self._seal(text) if self._seal else "")
        if segment.call:
            arguments = text_arguments(text) if segment.call.text_input else text
            return replace(segment.call, arguments=arguments)
        return replace(said(segment.id, Role.ASSISTANT, text), phase=phase)
