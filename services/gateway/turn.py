"""The turn, step by step: every public protocol is an adapter on `TurnLoop.run`."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from dataclasses import replace
from functools import partial

import structlog

from services.context_assembly.api import (
    Assembly,
    Context,
    ConversationMoved,
    ConversationNotFound,
    InputTooLong,
    KeptIds,
    Model,
    SummaryUnavailable,
    Turn,
    TurnNotFound,
)
from services.gateway import documents
from services.gateway.api import (
    Ask,
    CallStarted,
    CompactionStarted,
    Completed,
    ConversationBusy,
    InputBlocked,
    InvalidRequest,
    ItemDone,
    Response,
    ResponseNotFound,
    Started,
    Status,
    TurnEvent,
)
from services.gateway.attachments import with_read_files
from services.gateway.authenticator import Principal
from services.gateway.compacting import Summarising, is_due, unsealed
from services.gateway.fleet import Fleet
from services.gateway.guard import OpenGuard
from services.gateway.intake import seal, with_ids, with_unsealed
from services.gateway.lanes import Lanes, no_such_conversation
from services.gateway.plan import Plan, allowed_own_tools, check, wants_own_tools
from services.gateway.ports import Neighbours
from services.gateway.references import with_referenced
from services.gateway.reply import Opened, Reply, TurnProgress
from services.gateway.screening import Screening
from services.gateway.together import both, together
from services.inference.api import Calling, Generation, ModelCard, Usage
from services.shared.conversation import Call, CallOutcome, Item, Text
from services.shared.errors import MeshError, NotFound
from services.shared.ids import make_response_id, nth_call_id, nth_item_id
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall, ToolChoice
from services.tool_runner.api import Failure, Outcome, UnknownTool

_log = structlog.get_logger()

# So many tokens are enough to keep free where the request leaves no more.
_SHORT_REPLY_TOKENS = 16
_ABSENT = CallOutcome((Text("error: there is no such tool"),), failed=True)


class TurnLoop:
    """Knows the order of a turn's steps, and nothing of HTTP."""

    def __init__(
        self,
        neighbours: Neighbours,
        fleet: Fleet,
        open_guard: OpenGuard,
        lanes: Lanes,
        *,
        tool_rounds: int,
    ) -> None:
        self._neighbours = neighbours
        self._fleet = fleet
        self._screening = Screening(neighbours.moderation)
        self._open_guard = open_guard
        self._tool_rounds = tool_rounds
        self._lanes = lanes
        self._summarising = Summarising(neighbours.context, open_guard)

    async def run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]:
        """The turn, when its time has come in its conversation.

        What fails before `Started` fails the request; what fails later fails the stream. Whoever
        hears that it is complete finds the conversation free.
        """
        scope = principal.account.scope(ask.safety_identifier)
        async with AsyncExitStack() as place:
            ask = await place.enter_async_context(self._lanes.continued(scope, ask))
            events = await place.enter_async_context(aclosing(self._run(principal, ask, progress)))
            async for event in events:
                if isinstance(event, Completed):
                    await place.aclose()
                yield event
                if isinstance(event, Completed):
                    return

    async def _run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]:
        """Admits, then: moderate, assemble, infer, run tools and assemble again, record."""
        plan = await self._plan(principal, ask, progress.response_id, progress.created_at_ms)
        if not ask.generate:
            for event in await self._prepared(plan, progress):
                yield event
            return
        plan, context = await self._open(plan)
        progress.opened = Opened(plan.scope, plan.ask, context.memory_ids)
        yield _started(plan)
        reply = self._reply(plan, progress)
        async with aclosing(self._compact_if_due(plan, context, reply)) as events:
            async for event in events:
                yield event
        rounds = 0 if ask.only_compacts else self._tool_rounds + 1
        if rounds and reply.items:
            context = await self._assemble(plan, reply.items, context.memory_ids)
        for rounds_left in reversed(range(rounds)):
            async with aclosing(self._infer(plan, context, reply)) as events:
                async for event in events:
                    yield event
            if not reply.own_calls or not rounds_left:
                break
            runs = plan.runs(reply.own_calls)
            async with aclosing(self._run_tools(plan, reply, runs)) as events:
                async for event in events:
                    yield event
            if reply.waits_for_caller:
                break
            if progress.inbox.waits:
                reply.steer()
                break
            plan = plan.after(len(runs))
            context = await self._assemble(plan, reply.items, context.memory_ids)
        for event in reply.endings():
            yield event
        progress.recording = True
        yield Completed(await self._recorded(plan, context, reply, progress.opened))

    async def _prepared(self, plan: Plan, progress: TurnProgress) -> Sequence[TurnEvent]:
        """A turn without a reply: what is asked is checked, so that another turn can go on."""
        ask = plan.ask
        memory_ids: Sequence[str] = ()
        if ask.said:
            plan, context = await self._open(plan)
            memory_ids = context.memory_ids
        elif ask.continued_id:
            with _parent_named(ask):
                await self._neighbours.context.get_turn(plan.scope, ask.continued_id)
        progress.opened = Opened(plan.scope, plan.ask, memory_ids)
        progress.recording = True
        response = _response(plan, Status.COMPLETED, (), Usage())
        await self._record(progress.opened, response, None, 0)
        return _started(plan), Completed(response)

    async def record_failed(self, progress: TurnProgress, response: Response) -> None:
        """Keeps a turn that failed or was cancelled, with what it had said.

        Of what the model read and wrote nothing is kept: its last round has no end. Nor is a turn
        that was taken over and never got so far here that its input was moderated.
        """
        if progress.opened is None:
            return
        await self._neighbours.context.record(_turn(progress.opened, response, None))

    async def count(self, principal: Principal, ask: Ask) -> int:
        """How many tokens the model would read first. Nothing is moderated, run or kept.

        A prompt that does not fit in is counted too.
        """
        if not (ask.said or ask.continued_id or ask.conversation):
            raise InvalidRequest("is missing: there is nothing to count", param="input")
        scope = principal.account.scope(ask.safety_identifier)
        ask = await self._lanes.from_its_head(scope, ask)
        plan = await self._plan(principal, ask, make_response_id(ask.tree_id))
        try:
            return len((await self._assemble(plan, (), None)).prompt_ids)
        except InputTooLong as error:
            return int(error.details["tokens"])

    def _reply(self, plan: Plan, progress: TurnProgress) -> Reply:
        # A compaction item has the first number.
        numbers = itertools.count(1)

        def make_id(prefix: str) -> str:
            if prefix == "call":
                return nth_call_id(response_id, next(numbers))
            return nth_item_id(prefix, response_id, next(numbers))

        response_id, ask = plan.response_id, plan.ask
        return Reply(
            plan.functions,
            self._open_guard,
            make_id,
            progress,
            choices=ask.sampling.n,
            seal=partial(seal, plan.principal.sealer) if ask.seals_reasoning else None,
        )

    async def _plan(
        self, principal: Principal, ask: Ask, response_id: str, created_at_ms: int = 0
    ) -> Plan:
        card = self._fleet.card(ask.model)
        scope = principal.account.scope(ask.safety_identifier)
        ask = with_unsealed(ask, principal.sealer)
        ask = await with_referenced(ask, self._neighbours.context, scope)
        ask = unsealed(ask, principal.sealer)
        # In a conversation ids are of this turn, whatever the caller calls the items.
        ask = with_read_files(with_ids(ask, response_id, all_anew=bool(ask.conversation)))
        own_tools: Sequence[Tool] = ()
        if self._tool_rounds and wants_own_tools(ask, card):
            tools = await self._neighbours.tools.list_tools(scope)
            own_tools = allowed_own_tools(ask, principal.account, tools)
        plan = Plan(
            principal=principal,
            ask=ask,
            response_id=response_id,
            created_at_ms=created_at_ms or _now_ms(),
            scope=scope,
            card=card,
            own_tools=own_tools,
            calls_left=ask.max_tool_calls,
        )
        check(plan)
        return plan

    async def _open(self, plan: Plan) -> tuple[Plan, Context]:
        """Moderation reads the input while the context is assembled; masked input is taken anew.

        A turn that only compacts has no prompt, so that it may have more to read than fits in.
        """
        if plan.ask.only_compacts:
            return replace(plan, ask=await self._screening.screen(plan.ask)), Context(())
        screened, context = await both(
            self._screening.screen(plan.ask), self._assemble(plan, (), None)
        )
        if screened is not plan.ask:
            plan = replace(plan, ask=screened)
            context = await self._assemble(plan, (), context.memory_ids)
        return plan, context

    async def _assemble(
        self, plan: Plan, produced: Sequence[Item], memory_ids: Sequence[str] | None
    ) -> Context:
        """A request that leaves little room is answered shortly rather than refused."""
        ask = plan.ask
        # What is too long for now will be compacted.
        waits = ask.compact_threshold is not None and not produced
        assembly = Assembly(
            scope=plan.scope,
            model=_model(plan.card, ask),
            parent_id=ask.continued_id,
            instructions=ask.instructions,
            custom_instructions=plan.principal.account.instructions,
            tools=plan.offered,
            input=ask.said,
            produced=produced,
            output_tokens=plan.output_tokens,
            truncate_input=ask.truncate or waits,
            memory_ids=memory_ids,
            reads_memory=plan.reads_memory,
            template_options=ask.template_options,
        )
        with _parent_named(ask), _input_counted_from(len(ask.unstored)):
            return await self._fitted(assembly)

    async def _compact_if_due(
        self, plan: Plan, context: Context, reply: Reply
    ) -> AsyncGenerator[TurnEvent, None]:
        """A summary in the place of what was said before; where it fails, the turn goes on without.

        Where nothing but it was asked for, the turn fails with it.
        """
        if not (plan.ask.only_compacts or is_due(plan.ask, context)):
            return
        item_id = nth_item_id("cmp", plan.response_id, 0)
        if plan.ask.only_compacts:
            yield CompactionStarted(item_id)
        try:
            with _parent_named(plan.ask):
                summarised = await self._summarising.summarise(
                    _to_compact(plan), plan.principal.sealer, item_id
                )
        except (SummaryUnavailable, InputBlocked) as error:
            if plan.ask.only_compacts:
                raise
            _log.warning("the turn goes on without compacting", reason=error.reason())
            return
        reply.summarise(summarised)
        yield ItemDone(0, summarised.item)

    async def _fitted(self, assembly: Assembly) -> Context:
        context = self._neighbours.context
        try:
            return await context.assemble(assembly)
        except InputTooLong:
            if assembly.output_tokens <= _SHORT_REPLY_TOKENS:
                raise
            return await context.assemble(replace(assembly, output_tokens=_SHORT_REPLY_TOKENS))

    async def _infer(
        self, plan: Plan, context: Context, reply: Reply
    ) -> AsyncGenerator[TurnEvent, None]:
        """One round of the model; leaves early when every choice has ended."""
        generation = _generation(plan, context, reply)
        async with (
            reply.round(context.prompt_ids),
            aclosing(self._neighbours.inference.generate(generation)) as pieces,
        ):
            async for piece in pieces:
                for event in await reply.hear(piece):
                    yield event
                if reply.ended:
                    return

    async def _run_tools(
        self, plan: Plan, reply: Reply, runs: Sequence[Call]
    ) -> AsyncGenerator[TurnEvent, None]:
        """Runs calls of the mesh's own tools, all at once, and shows them in the model's order.

        Only the model hears of calls that may not be run.
        """
        for call in runs:
            yield CallStarted(0, call)
        running = {call.id: asyncio.create_task(self._run_tool(plan.scope, call)) for call in runs}
        await together([*running.values()])
        for call in reply.own_calls:
            if call.id not in running:
                reply.refuse(replace(call, outcome=_ABSENT))
                continue
            outcome = running[call.id].result()
            failed = outcome.failure is not None
            item = replace(call, outcome=CallOutcome(outcome.parts, failed))
            reply.ran(item)
            yield ItemDone(0, item)

    async def _run_tool(self, scope: Scope, call: Call) -> Outcome:
        wanted = ToolCall(call.call_id, call.name, call.arguments)
        try:
            outcome = await self._neighbours.tools.run(scope, wanted)
        except UnknownTool:
            return Outcome((Text("error: there is no such tool"),), Failure.REFUSED)
        return await self._screening.screen_outcome(outcome)

    async def _recorded(
        self, plan: Plan, context: Context, reply: Reply, opened: Opened
    ) -> Response:
        response = _response(plan, reply.status, _output(plan.ask, reply), reply.usage)
        response = replace(response, logprobs=reply.logprobs)
        kept_ids = _kept_ids(plan.card.id, context, reply)
        erasures_above = (reply.summarised or context).erasures_above
        await self._record(opened, response, kept_ids, erasures_above)
        return response

    async def _record(
        self, opened: Opened, response: Response, kept_ids: KeptIds | None, erasures_above: int
    ) -> None:
        """The turn in its tree, before anybody is told that it is complete."""
        turn = replace(
            _turn(opened, response, kept_ids),
            conversation_id=opened.ask.conversation,
            erasures_above=erasures_above,
        )
        if opened.ask.store or opened.ask.conversation:
            await self._keep(turn if opened.ask.store else replace(turn, document=""))

    async def _keep(self, turn: Turn) -> None:
        """A reply that comes too late for its conversation is kept beside it, where it was to be.

        Its caller is told, and goes on from it by its id or asks again.
        """
        context = self._neighbours.context
        try:
            await context.record(turn)
        except ConversationNotFound:
            raise no_such_conversation() from None
        except ConversationMoved:
            beside = "is lost"
            if turn.document:
                with suppress(TurnNotFound):
                    await context.record(replace(turn, conversation_id=""))
                    beside = "is kept by its id alone"
            raise ConversationBusy(
                f"another turn was added to the conversation meanwhile: this response {beside}",
                param="conversation",
            ) from None


@contextmanager
def _parent_named(ask: Ask) -> Iterator[None]:
    """What is not there is named as the caller knows it."""
    try:
        yield
    except TurnNotFound:
        raise _absent(ask) from None


@contextmanager
def _input_counted_from(first: int) -> Iterator[None]:
    """Errors that name an item by its place count from the caller's first one."""
    try:
        yield
    except MeshError as error:
        match = re.fullmatch(r"input\[(\d+)\]", error.details.get("param", ""))
        if not match or not first:
            raise
        place = int(match[1]) - first
        param = f"input[{place}]" if place >= 0 else "previous_response_id"
        raise type(error)(error.message, **{**error.details, "param": param}) from None


def _absent(ask: Ask) -> NotFound:
    """What the turn was to continue is not there."""
    if ask.conversation:
        return no_such_conversation()
    return ResponseNotFound("the previous response is not there", param="previous_response_id")


def _output(ask: Ask, reply: Reply) -> tuple[Item, ...]:
    kept = reply.summarised.kept if reply.summarised and ask.shows_kept else ()
    return (*kept, *reply.output)


def _to_compact(plan: Plan) -> Assembly:
    ask = plan.ask
    return Assembly(
        scope=plan.scope,
        model=_model(plan.card, ask),
        input=ask.said,
        output_tokens=0,
        parent_id=ask.continued_id,
        instructions=ask.instructions,
    )


def _response(plan: Plan, status: Status, output: tuple[Item, ...], usage: Usage) -> Response:
    return Response(
        id=plan.response_id,
        model=plan.card.id,
        previous_response_id=plan.ask.previous_response_id,
        conversation=plan.ask.conversation,
        created_at_ms=plan.created_at_ms,
        completed_at_ms=_now_ms(),
        status=status,
        output=output,
        usage=usage,
        echo=plan.ask.echo,
        background=plan.ask.background,
    )


def _started(plan: Plan) -> Started:
    ask = plan.ask
    return Started(
        response_id=plan.response_id,
        created_at_ms=plan.created_at_ms,
        model=plan.card.id,
        previous_response_id=ask.previous_response_id,
        echo=ask.echo,
        conversation=ask.conversation,
        background=ask.background,
        stored=ask.store,
    )


def _turn(opened: Opened, response: Response, kept_ids: KeptIds | None) -> Turn:
    return Turn(
        id=response.id,
        scope=opened.scope,
        parent_id=opened.ask.continued_id,
        created_at_ms=response.created_at_ms,
        input=opened.ask.said,
        output=response.output,
        memory_ids=opened.memory_ids,
        document=documents.dump(response, earlier=len(opened.ask.unstored)),
        kept_ids=kept_ids,
    )


def _model(card: ModelCard, ask: Ask) -> Model:
    """Who says when to compact wants no other summaries."""
    summarises = card.summarises and ask.compact_threshold is None
    return Model(card.id, card.context_tokens, summarises, card.sees)


def _kept_ids(model: str, context: Context, reply: Reply) -> KeptIds | None:
    """What the engine has read and written, as far as it is new since the parent turn.

    Of a prompt with pictures nothing is kept: the engine read more in their places than the prompt
    says.
    """
    if context.pictures or not context.prompt_ids:
        return None
    ids = [*context.prompt_ids, *reply.written_ids]
    inherited = context.inherited_ids
    return KeptIds(model, inherited, ids[inherited:], context.fact_ids, context.erasures_known)


def _generation(plan: Plan, context: Context, reply: Reply) -> Generation:
    ask = plan.ask
    left = plan.card.context_tokens - len(context.prompt_ids)
    if ask.sampling.max_tokens:
        left = min(left, max(1, ask.sampling.max_tokens - reply.usage.completion_tokens))
    # `tool_choice` counts until something was called: then what it required is done.
    called = any(isinstance(item, Call) for item in reply.output)
    choice = ToolChoice() if called else ask.choice
    return Generation(
        model=plan.card.id,
        request_id=f"{plan.response_id}.{len(reply.items)}",
        prompt_ids=context.prompt_ids,
        sampling=replace(ask.sampling, max_tokens=left),
        format=ask.format,
        calling=Calling(plan.offered, choice, ask.parallel_calls),
        cache_salt=plan.scope.organisation,
        pictures=tuple(context.pictures),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
