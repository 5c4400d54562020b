"""How the public gRPC contract, and KEDA's, look on the wire; pure functions."""

import math
from collections.abc import Mapping

from chatmesh.gateway.v1 import gateway_pb2 as pb
from externalscaler import externalscaler_pb2 as keda

from services.context_assembly.api import Call, CallResult, Item, Reasoning, Text
from services.gateway.api import (
    Ask,
    CallDelta,
    CallStarted,
    Completed,
    ItemDone,
    ReasoningDelta,
    Response,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.gateway.ids import make_id
from services.inference.api import FormatKind, ModelCard, OutputFormat, Sampling, Usage
from services.shared.chat import Role, Tool, ToolChoice, ToolMode
from services.shared.codec import known
from services.shared.errors import Malformed

_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_DEVELOPER: Role.DEVELOPER,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
}
_ROLES_OUT = {ours: theirs for theirs, ours in _ROLES.items()}
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
}
_STATUSES_OUT = {ours: theirs for theirs, ours in _STATUSES.items()}


def ask_in(request: pb.RespondRequest) -> Ask:
    if not request.input:
        raise Malformed("input is empty", param="input")
    return Ask(
        model=request.model,
        input=tuple(map(item_in, request.input)),
        instructions=request.instructions,
        previous_response_id=request.previous_response_id,
        functions=tuple(
            Tool(f.name, f.description, f.parameters or "{}", f.strict) for f in request.functions
        ),
        choice=ToolChoice(
            known(_MODES, request.function_choice.mode, "function_choice.mode"),
            request.function_choice.name,
        ),
        parallel_calls=not request.HasField("parallel_calls") or request.parallel_calls,
        own_tools=frozenset(request.own_tools.names) if request.HasField("own_tools") else None,
        store=not request.HasField("store") or request.store,
        sampling=_sampling_in(request),
        format=_format_in(request.json_schema),
        truncate=request.truncate,
        safety_identifier=request.safety_identifier,
    )


def ask_out(ask: Ask) -> pb.RespondRequest:
    sampling = ask.sampling
    request = pb.RespondRequest(
        model=ask.model,
        input=map(item_out, ask.input),
        instructions=ask.instructions,
        previous_response_id=ask.previous_response_id,
        functions=[
            pb.Function(
                name=tool.name,
                description=tool.description,
                parameters=tool.parameters,
                strict=tool.strict,
            )
            for tool in ask.functions
        ],
        function_choice=pb.FunctionChoice(mode=_MODES_OUT[ask.choice.mode], name=ask.choice.name),
        parallel_calls=ask.parallel_calls,
        store=ask.store,
        max_output_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        stop=sampling.stop,
        truncate=ask.truncate,
        json_schema=ask.format.text if ask.format else "",
        safety_identifier=ask.safety_identifier,
    )
    if ask.own_tools is not None:
        request.own_tools.CopyFrom(pb.OwnTools(names=sorted(ask.own_tools)))
    return request


def _sampling_in(request: pb.RespondRequest) -> Sampling:
    return Sampling(
        max_tokens=request.max_output_tokens if request.HasField("max_output_tokens") else None,
        temperature=request.temperature if request.HasField("temperature") else None,
        top_p=request.top_p if request.HasField("top_p") else None,
        seed=request.seed if request.HasField("seed") else None,
        stop=tuple(request.stop),
    )


def _format_in(json_schema: str) -> OutputFormat | None:
    return OutputFormat(FormatKind.JSON_SCHEMA, json_schema) if json_schema else None


def item_in(item: pb.Item) -> Item:
    match item.WhichOneof("kind"):
        case "message":
            role = known(_ROLES, item.message.role, "role")
            return Text(item.id or make_id("msg"), role, item.message.text)
        case "function_call":
            call = item.function_call
            ident = item.id or make_id("fc")
            return Call(
                ident,
                call.call_id,
                call.name,
                call.arguments,
                own=call.own,
                output=call.output,
                failed=call.failed,
            )
        case "function_result":
            result = item.function_result
            return CallResult(item.id or make_id("fco"), result.call_id, result.output)
        case "reasoning":
            return Reasoning(item.id or make_id("rs"), item.reasoning.text)
    raise Malformed("an item of input is of no known kind", param="input")


def item_out(item: Item) -> pb.Item:
    match item:
        case Text():
            message = pb.Message(role=_ROLES_OUT[item.role], text=item.text)
            return pb.Item(id=item.id, message=message)
        case Call():
            call = pb.FunctionCall(
                call_id=item.call_id,
                name=item.name,
                arguments=item.arguments,
                own=item.own,
                output=item.output,
                failed=item.failed,
            )
            return pb.Item(id=item.id, function_call=call)
        case CallResult():
            result = pb.FunctionResult(call_id=item.call_id, output=item.output)
            return pb.Item(id=item.id, function_result=result)
        case Reasoning():
            return pb.Item(id=item.id, reasoning=pb.Reasoning(text=item.text))


def event_in(response: pb.RespondResponse) -> TurnEvent:  # noqa: PLR0911 - one for each kind
    match response.WhichOneof("event"):
        case "started":
            return Started(response.started.response_id, response.started.created_at_ms)
        case "text":
            return TextDelta(0, response.text.item_id, response.text.text)
        case "reasoning":
            return ReasoningDelta(0, response.reasoning.item_id, response.reasoning.text)
        case "call_started":
            call = item_in(response.call_started)
            assert isinstance(call, Call)
            return CallStarted(0, call)
        case "call":
            return CallDelta(0, response.call.item_id, response.call.arguments)
        case "item":
            return ItemDone(0, item_in(response.item))
        case "completed":
            return Completed(response_in(response.completed))
    raise Malformed("an event is of no known kind")


def event_out(event: TurnEvent, number: int) -> pb.RespondResponse | None:
    """None for what the stream does not show: a choice's end is the response's status."""
    response = pb.RespondResponse(sequence_number=number)
    match event:
        case Started():
            response.started.response_id = event.response_id
            response.started.created_at_ms = event.created_at_ms
        case TextDelta():
            response.text.item_id = event.item_id
            response.text.text = event.text
        case ReasoningDelta():
            response.reasoning.item_id = event.item_id
            response.reasoning.text = event.text
        case CallStarted():
            response.call_started.CopyFrom(item_out(event.call))
        case CallDelta():
            response.call.item_id = event.item_id
            response.call.arguments = event.arguments
        case ItemDone():
            response.item.CopyFrom(item_out(event.item))
        case Completed():
            response.completed.CopyFrom(response_out(event.response))
        case _:
            return None
    return response


def response_in(response: pb.Response) -> Response:
    usage = response.usage
    return Response(
        id=response.id,
        model=response.model,
        previous_response_id=response.previous_response_id,
        created_at_ms=response.created_at_ms,
        completed_at_ms=response.completed_at_ms,
        status=known(_STATUSES, response.status, "status"),
        output=tuple(map(item_in, response.output)),
        usage=Usage(
            usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens
        ),
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
    )


def model_in(model: pb.Model) -> ModelCard:
    return ModelCard(
        id=model.id,
        context_tokens=model.context_tokens,
        calls_tools=model.calls_tools,
        reasons=model.reasons,
        summarises=model.summarises,
        created_at=model.created_at,
    )


def model_out(card: ModelCard) -> pb.Model:
    return pb.Model(
        id=card.id,
        context_tokens=card.context_tokens,
        calls_tools=card.calls_tools,
        reasons=card.reasons,
        summarises=card.summarises,
        created_at=card.created_at,
    )


def targets_out(targets: Mapping[str, float]) -> keda.GetMetricSpecResponse:
    return keda.GetMetricSpecResponse(
        metricSpecs=[
            keda.MetricSpec(metricName=name, targetSize=math.ceil(value), targetSizeFloat=value)
            for name, value in targets.items()
        ]
    )


def metrics_out(metrics: Mapping[str, float], wanted: str) -> keda.GetMetricsResponse:
    """The one that is asked for; all when none is named."""
    return keda.GetMetricsResponse(
        metricValues=[
            keda.MetricValue(metricName=name, metricValue=math.ceil(value), metricValueFloat=value)
            for name, value in metrics.items()
            if wanted in {name, ""}
        ]
    )
