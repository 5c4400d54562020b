"""How the public gRPC contract looks on the wire; pure functions, both directions.

What comes in was looked at by `message_fields.py`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from chatmesh.conversation.v1 import conversation_pb2 as item_pb
from chatmesh.gateway.v1 import gateway_pb2 as pb
from google.protobuf import message as proto
from pydantic import BaseModel

from services.context_assembly.api import Paging
from services.gateway.api import (
    ArgumentsDelta,
    Ask,
    CallStarted,
    ChoiceEnded,
    CompactionStarted,
    Completed,
    Continued,
    ConversationCard,
    Failed,
    Finish,
    ItemDone,
    Numbered,
    Once,
    OwnTools,
    ReasoningDelta,
    Response,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.gateway.message_fields import checked, has_rules
from services.inference.api import (
    FormatKind,
    ModelCard,
    OutputFormat,
    Sampling,
    TokenLogprob,
    Usage,
)
from services.shared.codec import known, plain
from services.shared.conversation import Call, Item, Message, Role
from services.shared.conversation_codec import item_in, item_out, items_in
from services.shared.errors import Malformed
from services.shared.tools import (
    TEXT_PARAMETERS,
    TextInput,
    TextSyntax,
    Tool,
    ToolChoice,
    ToolMode,
)

_FORMATS_OUT = {
    FormatKind.JSON_SCHEMA: "json_schema",
    FormatKind.JSON_OBJECT: "json_object",
    FormatKind.REGEX: "regex",
    FormatKind.LARK: "lark",
    FormatKind.EBNF: "ebnf",
}
_FORMATS = {theirs: ours for ours, theirs in _FORMATS_OUT.items()}
_NO_PARAMETERS = '{"type": "object", "properties": {}}'
_MODES = {
    pb.FunctionChoice.MODE_AUTO: ToolMode.AUTO,
    pb.FunctionChoice.MODE_UNSPECIFIED: ToolMode.AUTO,
    pb.FunctionChoice.MODE_NONE: ToolMode.NONE,
    pb.FunctionChoice.MODE_REQUIRED: ToolMode.REQUIRED,
    pb.FunctionChoice.MODE_NAMED: ToolMode.NAMED,
}
_MODES_OUT = {ours: theirs for theirs, ours in _MODES.items()}
_STATUSES = {
    pb.STATUS_COMPLETED: Status.COMPLETED,
    pb.STATUS_INCOMPLETE_LENGTH: Status.LENGTH,
    pb.STATUS_INCOMPLETE_CONTENT_FILTER: Status.CONTENT_FILTER,
    pb.STATUS_INCOMPLETE_TOOL_ROUNDS: Status.TOOL_ROUNDS,
    pb.STATUS_INCOMPLETE_TOO_MANY_EVENTS: Status.TOO_MANY_EVENTS,
    pb.STATUS_INCOMPLETE_STEERED: Status.STEERED,
    pb.STATUS_IN_PROGRESS: Status.IN_PROGRESS,
    pb.STATUS_FAILED: Status.FAILED,
    pb.STATUS_CANCELLED: Status.CANCELLED,
    pb.STATUS_INCOMPLETE_INVALID_CALL: Status.INVALID_CALL,
}
_STATUSES_OUT = {ours: theirs for theirs, ours in _STATUSES.items()}
_FINISHES = {
    pb.FINISH_STOP: Finish.STOP,
    pb.FINISH_LENGTH: Finish.LENGTH,
    pb.FINISH_FUNCTION_CALLS: Finish.FUNCTION_CALLS,
    pb.FINISH_CONTENT_FILTER: Finish.CONTENT_FILTER,
    pb.FINISH_TOOL_ROUNDS: Finish.TOOL_ROUNDS,
    pb.FINISH_TOO_MANY_EVENTS: Finish.TOO_MANY_EVENTS,
    pb.FINISH_STEERED: Finish.STEERED,
    pb.FINISH_INVALID_CALL: Finish.INVALID_CALL,
}
_FINISHES_OUT = {ours: theirs for theirs, ours in _FINISHES.items()}


def fields_in(request: proto.Message) -> BaseModel | None:
    """The request's fields; None: nothing in it could be wrong. Raises `Malformed`."""
    if isinstance(request, pb.CountInputRequest):
        request = request.request
    name = request.DESCRIPTOR.name
    return checked(name, plain(request)) if has_rules(name) else None


def ask_in(request: pb.RespondRequest) -> Ask:
    if not request.input and not request.only_compacts:
        raise Malformed("input: is empty", param="input", code="invalid_value")
    return _ask_in(request)


def counted_in(request: pb.CountInputRequest) -> Ask:
    """What is only counted may say nothing."""
    return _ask_in(request.request)


def _ask_in(request: pb.RespondRequest) -> Ask:
    return Ask(
        model=request.model,
        input=_given_in(request.input),
        instructions=request.instructions,
        previous_response_id=request.previous_response_id,
        functions=tuple(map(_function_in, request.functions)),
        choice=ToolChoice(
            known(_MODES, request.function_choice.mode, "function_choice.mode"),
            request.function_choice.name,
        ),
        parallel_calls=not request.HasField("parallel_calls") or request.parallel_calls,
        own_tools=_own_tools_in(request.own_tools) if request.HasField("own_tools") else None,
        store=not request.HasField("store") or request.store,
        sampling=_sampling_in(request),
        format=_format_in(request),
        truncate=request.truncate,
        safety_identifier=request.safety_identifier,
        background=request.background,
        seals_reasoning=request.seals_reasoning,
        max_tool_calls=_set(request, "max_tool_calls"),
        once=_once_in(request),
        conversation=request.conversation_id,
        waits=not request.refuses_when_busy,
        compact_threshold=_set(request, "compact_threshold"),
        only_compacts=request.only_compacts,
    )


def compaction_in(request: pb.CompactRequest) -> Ask:
    if not request.input and not request.previous_response_id:
        raise Malformed("input: is empty", param="input", code="invalid_value")
    return Ask(
        model=request.model,
        input=_given_in(request.input),
        instructions=request.instructions,
        previous_response_id=request.previous_response_id,
        store=False,
        only_compacts=True,
        shows_kept=True,
    )


def compaction_out(ask: Ask) -> pb.CompactRequest:
    return pb.CompactRequest(
        model=ask.model,
        input=map(item_out, ask.input),
        instructions=ask.instructions,
        previous_response_id=ask.previous_response_id,
    )


def ask_out(ask: Ask) -> pb.RespondRequest:
    sampling = ask.sampling
    request = pb.RespondRequest(
        model=ask.model,
        input=map(item_out, ask.input),
        instructions=ask.instructions,
        previous_response_id=ask.previous_response_id,
        functions=map(_function_out, ask.functions),
        function_choice=pb.FunctionChoice(mode=_MODES_OUT[ask.choice.mode], name=ask.choice.name),
        parallel_calls=ask.parallel_calls,
        store=ask.store,
        max_output_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        stop=sampling.stop,
        truncate=ask.truncate,
        safety_identifier=ask.safety_identifier,
        background=ask.background,
        **_of_conversation(ask),
        seals_reasoning=ask.seals_reasoning,
        top_logprobs=sampling.top_logprobs,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        max_tool_calls=ask.max_tool_calls,
        idempotency_key=ask.once.key if ask.once else "",
    )
    if ask.format is not None:
        field = _FORMATS_OUT[ask.format.kind]
        setattr(request, field, field == "json_object" or ask.format.text)
    if ask.own_tools is not None:
        names = ask.own_tools.names
        request.own_tools.CopyFrom(pb.OwnTools(names=sorted(names or ()), all=names is None))
    return request


def words_in(request: pb.SteerRequest) -> tuple[Item, ...]:
    """Raises `Malformed` for what is no message of a user."""
    words = _given_in(request.input)
    for number, item in enumerate(words):
        if not isinstance(item, Message) or item.role is not Role.USER or not item.parts:
            raise Malformed("must be a message of a user", param=f"input[{number}]")
    return words


def _given_in(items: Sequence[item_pb.Item]) -> tuple[Item, ...]:
    """What a caller sends. Raises `Malformed` for an item, with its place."""
    given: list[Item] = []
    for place, item in enumerate(items):
        try:
            given.append(item_in(item))
        except Malformed as error:
            within = error.details.get("param", "")
            param = f"input[{place}]" + (f".{within}" if within not in {"", "input"} else "")
            raise Malformed(error.message, param=param) from None
    return tuple(given)


def _once_in(request: pb.RespondRequest) -> Once | None:
    """Items that came without ids have none in the digest either."""
    if not request.idempotency_key:
        return None
    said = request.SerializeToString(deterministic=True)
    return Once(request.idempotency_key, hashlib.sha256(said).digest())


def _of_conversation(ask: Ask) -> dict[str, Any]:
    return {
        "conversation_id": ask.conversation,
        "refuses_when_busy": not ask.waits,
        "compact_threshold": ask.compact_threshold,
        "only_compacts": ask.only_compacts,
    }


def _own_tools_in(tools: pb.OwnTools) -> OwnTools:
    return OwnTools(None if tools.all else frozenset(tools.names))


def _sampling_in(request: pb.RespondRequest) -> Sampling:
    return Sampling(
        max_tokens=_set(request, "max_output_tokens"),
        temperature=_set(request, "temperature"),
        top_p=_set(request, "top_p"),
        presence_penalty=_set(request, "presence_penalty"),
        frequency_penalty=_set(request, "frequency_penalty"),
        seed=_set(request, "seed"),
        stop=tuple(request.stop),
        top_logprobs=_set(request, "top_logprobs"),
    )


def _set(message: pb.RespondRequest, name: str) -> Any:
    """The field's value; None where it is not set."""
    return getattr(message, name) if message.HasField(name) else None  # type: ignore[arg-type]


def _format_in(request: pb.RespondRequest) -> OutputFormat | None:
    if request.json_schema:
        return OutputFormat(FormatKind.JSON_SCHEMA, request.json_schema)
    field = request.WhichOneof("format")
    if field is None:
        return None
    text = getattr(request, field)
    if field == "json_object":
        return OutputFormat(FormatKind.JSON_OBJECT) if text else None
    return OutputFormat(_FORMATS[field], text)


def _function_in(function: pb.Function) -> Tool:
    if not function.HasField("text_input"):
        parameters = function.parameters or _NO_PARAMETERS
        return Tool(function.name, function.description, parameters, function.strict)
    syntax = function.text_input.WhichOneof("grammar")
    taken = TextInput()
    if syntax:
        taken = TextInput(TextSyntax(syntax), getattr(function.text_input, syntax))
    return Tool(function.name, function.description, TEXT_PARAMETERS, text_input=taken)


def _function_out(tool: Tool) -> pb.Function:
    function = pb.Function(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=tool.strict,
    )
    if tool.text_input is not None:
        function.text_input.SetInParent()
        if tool.text_input.syntax is not TextSyntax.ANY:
            setattr(function.text_input, tool.text_input.syntax.value, tool.text_input.grammar)
    return function


def numbered_in(event: pb.Event) -> Numbered:
    return Numbered(event.number, event_in(event))


def event_in(event: pb.Event) -> TurnEvent:
    kind = event.WhichOneof("kind")
    if kind is None:
        raise Malformed("an event is of no known kind")
    return _EVENTS_IN[kind](getattr(event, kind))


def _started_in(started: pb.Started) -> Started:
    return Started(
        response_id=started.response_id,
        created_at_ms=started.created_at_ms,
        model=started.model,
        previous_response_id=started.previous_response_id,
        echo=started.echo,
        background=started.background,
        stored=started.stored,
        conversation=started.conversation_id,
    )


def _text_in(text: pb.TextDelta) -> TextDelta:
    # Few ask for them, and who goes on with a turn reads thousands of such events at once.
    logprobs = tuple(map(_logprob_in, text.logprobs)) if text.logprobs else ()
    return TextDelta(text.index, text.item_id, text.text, logprobs)


def _logprob_in(logprob: pb.TokenLogprob) -> TokenLogprob:
    top = tuple(map(_logprob_in, logprob.top))
    return TokenLogprob(logprob.id, logprob.token, logprob.logprob, top)


def _call_started_in(started: pb.CallStarted) -> CallStarted:
    call = item_in(started.call)
    if not isinstance(call, Call):
        raise Malformed("an event that begins a call has another item")
    return CallStarted(started.index, call)


def _choice_ended_in(ended: pb.ChoiceEnded) -> ChoiceEnded:
    return ChoiceEnded(ended.index, known(_FINISHES, ended.finish, "finish"))


def _failed_in(failed: pb.Failed) -> Failed:
    return Failed(failed.reason, failed.status, failed.message, dict(failed.details))


_EVENTS_IN: Mapping[str, Callable[[Any], TurnEvent]] = {
    "started": _started_in,
    "compaction_started": lambda started: CompactionStarted(started.item_id),
    "text": _text_in,
    "reasoning": lambda delta: ReasoningDelta(delta.index, delta.item_id, delta.text),
    "call_started": _call_started_in,
    "arguments": lambda delta: ArgumentsDelta(delta.index, delta.item_id, delta.arguments),
    "item_done": lambda done: ItemDone(done.index, item_in(done.item)),
    "choice_ended": _choice_ended_in,
    "completed": lambda response: Completed(response_in(response)),
    "continued": lambda event: Continued(event.response_id, items_in(event.input)),
    "failed": _failed_in,
}


def event_out(numbered: Numbered) -> pb.Event:
    return pb.Event(number=numbered.number, **_kind_out(numbered.event))


def _kind_out(event: TurnEvent) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind
    """The field of the event's kind, and what stands in it."""
    match event:
        case Started():
            return {"started": _started_out(event)}
        case CompactionStarted():
            return {"compaction_started": pb.CompactionStarted(item_id=event.item_id)}
        case TextDelta():
            return {"text": _text_out(event)}
        case ReasoningDelta():
            return {"reasoning": pb.ReasoningDelta(**asdict(event))}
        case CallStarted():
            return {"call_started": pb.CallStarted(index=event.index, call=item_out(event.call))}
        case ArgumentsDelta():
            return {"arguments": pb.ArgumentsDelta(**asdict(event))}
        case ItemDone():
            return {"item_done": pb.ItemDone(index=event.index, item=item_out(event.item))}
        case ChoiceEnded():
            finish = _FINISHES_OUT[event.finish]
            return {"choice_ended": pb.ChoiceEnded(index=event.index, finish=finish)}
        case Completed():
            return {"completed": response_out(event.response)}
        case Continued():
            words = map(item_out, event.input)
            return {"continued": pb.Continued(response_id=event.response_id, input=words)}
        case Failed():
            return {"failed": pb.Failed(**asdict(event))}


def _started_out(started: Started) -> pb.Started:
    return pb.Started(
        response_id=started.response_id,
        created_at_ms=started.created_at_ms,
        model=started.model,
        previous_response_id=started.previous_response_id,
        echo=started.echo,
        background=started.background,
        stored=started.stored,
        conversation_id=started.conversation,
    )


def _text_out(text: TextDelta) -> pb.TextDelta:
    return pb.TextDelta(
        index=text.index,
        item_id=text.item_id,
        text=text.text,
        logprobs=map(_logprob_out, text.logprobs),
    )


def _logprob_out(logprob: TokenLogprob) -> pb.TokenLogprob:
    return pb.TokenLogprob(
        id=logprob.id,
        token=logprob.token,
        logprob=logprob.logprob,
        top=map(_logprob_out, logprob.top),
    )


def response_in(response: pb.Response) -> Response:
    usage = response.usage
    return Response(
        id=response.id,
        model=response.model,
        previous_response_id=response.previous_response_id,
        created_at_ms=response.created_at_ms,
        completed_at_ms=response.completed_at_ms,
        status=known(_STATUSES, response.status, "status"),
        output=items_in(response.output),
        usage=Usage(
            usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens
        ),
        echo=response.echo,
        background=response.background,
        error=_failed_in(response.error) if response.HasField("error") else None,
        unfinished=frozenset(response.unfinished),
        conversation=response.conversation_id,
        logprobs={each.item_id: tuple(map(_logprob_in, each.tokens)) for each in response.logprobs},
    )


def response_out(response: Response) -> pb.Response:
    usage = response.usage
    return pb.Response(
        id=response.id,
        model=response.model,
        previous_response_id=response.previous_response_id,
        created_at_ms=response.created_at_ms,
        completed_at_ms=response.completed_at_ms,
        status=_STATUSES_OUT[response.status],
        output=map(item_out, response.output),
        usage=pb.Usage(
            input_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
        ),
        echo=response.echo,
        conversation_id=response.conversation,
        background=response.background,
        error=pb.Failed(**asdict(response.error)) if response.error else None,
        unfinished=sorted(response.unfinished),
        logprobs=(
            pb.MessageLogprobs(item_id=item_id, tokens=map(_logprob_out, tokens))
            for item_id, tokens in response.logprobs.items()
        ),
    )


def page_in(request: pb.ListInputItemsRequest | pb.Paging) -> Paging:
    limit = request.limit if request.HasField("limit") else Paging().limit
    return Paging(request.after, limit, newest_first=not request.oldest_first)


def page_out(response_id: str, page: Paging) -> pb.ListInputItemsRequest:
    return pb.ListInputItemsRequest(
        response_id=response_id,
        after=page.after,
        limit=page.limit,
        oldest_first=not page.newest_first,
    )


def model_in(model: pb.Model) -> ModelCard:
    return ModelCard(
        id=model.id,
        context_tokens=model.context_tokens,
        calls_tools=model.calls_tools,
        reasons=model.reasons,
        summarises=model.summarises,
        created_at=model.created_at,
        sees=model.sees,
    )


def model_out(card: ModelCard) -> pb.Model:
    return pb.Model(
        id=card.id,
        context_tokens=card.context_tokens,
        calls_tools=card.calls_tools,
        reasons=card.reasons,
        summarises=card.summarises,
        created_at=card.created_at,
        sees=card.sees,
    )


def card_in(conversation: pb.Conversation) -> ConversationCard:
    return ConversationCard(
        conversation.id, conversation.created_at_ms, dict(conversation.metadata)
    )


def card_out(card: ConversationCard) -> pb.Conversation:
    return pb.Conversation(id=card.id, created_at_ms=card.created_at_ms, metadata=card.metadata)


def added_in(items: Sequence[item_pb.Item]) -> Ask:
    """Items for a conversation."""
    return Ask(model="", input=_given_in(items))


def paging_out(paging: Paging) -> pb.Paging:
    return pb.Paging(after=paging.after, limit=paging.limit, oldest_first=not paging.newest_first)
