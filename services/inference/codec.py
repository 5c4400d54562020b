"""How inference's words look on the wire; pure functions, both directions."""

from collections.abc import Sequence

from chatmesh.conversation.v1 import conversation_pb2 as conversation_pb
from chatmesh.inference.v1 import inference_pb2 as pb

from services.inference.api import (
    CallDelta,
    Calling,
    Delta,
    FinishReason,
    FormatKind,
    Generation,
    Load,
    ModelCard,
    OutputFormat,
    Parsed,
    ParsedCall,
    Piece,
    Report,
    Sampling,
    TokenLogprob,
    Usage,
)
from services.shared.codec import known, tool_choice_in, tool_choice_out, tool_in, tool_out
from services.shared.conversation import Picture
from services.shared.conversation_codec import picture_in, picture_out
from services.shared.errors import Malformed

_FINISH: dict["pb.FinishReason.ValueType", FinishReason | None] = {
    pb.FINISH_REASON_UNSPECIFIED: None,
    pb.FINISH_REASON_STOP: FinishReason.STOP,
    pb.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    pb.FINISH_REASON_TOOL_CALLS: FinishReason.TOOL_CALLS,
    pb.FINISH_REASON_INVALID_CALL: FinishReason.INVALID_CALL,
}
_FINISH_OUT = {ours: theirs for theirs, ours in _FINISH.items()}
_OPTIONAL = (
    *("max_tokens", "temperature", "top_p", "top_k", "min_p", "presence_penalty"),
    *("frequency_penalty", "repetition_penalty", "seed", "top_logprobs"),
)


def generation_in(request: pb.GenerateRequest) -> Generation:
    return Generation(
        model=request.model,
        request_id=request.request_id,
        prompt_ids=list(request.prompt_ids),
        sampling=_sampling_in(request.sampling),
        format=_format_in(request.format) if request.HasField("format") else None,
        calling=_calling_in(request.calling) if request.HasField("calling") else Calling(),
        priority=request.priority,
        cache_salt=request.cache_salt,
        pictures=tuple(map(_picture_in, request.pictures)),
        begun_tokens=request.begun_tokens,
    )


def generation_out(generation: Generation) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        model=generation.model,
        request_id=generation.request_id,
        prompt_ids=generation.prompt_ids,
        sampling=_sampling_out(generation.sampling),
        format=None if generation.format is None else _format_out(generation.format),
        calling=_calling_out(generation.calling),
        priority=generation.priority,
        cache_salt=generation.cache_salt,
        pictures=map(picture_out, generation.pictures),
        begun_tokens=generation.begun_tokens,
    )


def _picture_in(picture: conversation_pb.Picture) -> Picture:
    if not picture.content:
        raise Malformed("a picture has no content, and nothing is fetched here", param="pictures")
    return picture_in(picture)


def _sampling_in(sampling: pb.Sampling) -> Sampling:
    return Sampling(
        **{name: getattr(sampling, name) for name in _OPTIONAL if sampling.HasField(name)},  # type: ignore[arg-type]
        stop=tuple(sampling.stop),
        n=sampling.n or 1,
        logit_bias=dict(sampling.logit_bias),
    )


def _sampling_out(sampling: Sampling) -> pb.Sampling:
    return pb.Sampling(
        **{name: getattr(sampling, name) for name in _OPTIONAL},
        stop=sampling.stop,
        n=sampling.n,
        logit_bias=sampling.logit_bias,
    )


def _format_in(output: pb.OutputFormat) -> OutputFormat:
    kind = output.WhichOneof("kind")
    if kind is None:
        raise Malformed("format.kind is not set", param="format")
    if kind == "json_object":
        return OutputFormat(FormatKind.JSON_OBJECT)
    return OutputFormat(FormatKind(kind), getattr(output, kind))


def _format_out(output: OutputFormat) -> pb.OutputFormat:
    if output.kind is FormatKind.JSON_OBJECT:
        return pb.OutputFormat(json_object=True)
    return pb.OutputFormat(**{output.kind.value: output.text})  # type: ignore[arg-type]


def _calling_in(calling: pb.Calling) -> Calling:
    return Calling(
        tuple(map(tool_in, calling.tools)), tool_choice_in(calling.choice), calling.parallel
    )


def _calling_out(calling: Calling) -> pb.Calling:
    return pb.Calling(
        tools=map(tool_out, calling.tools),
        choice=tool_choice_out(calling.choice),
        parallel=calling.parallel,
    )


def piece_in(response: pb.GenerateResponse) -> Piece:
    usage = _usage_in(response.usage) if response.HasField("usage") else None
    return Piece(tuple(map(_delta_in, response.deltas)), usage)


def piece_out(piece: Piece) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        deltas=map(_delta_out, piece.deltas),
        usage=None if piece.usage is None else _usage_out(piece.usage),
    )


def _delta_in(delta: pb.Delta) -> Delta:
    return Delta(
        index=delta.index,
        ids=list(delta.ids),
        text=delta.text,
        reasoning=delta.reasoning,
        calls=tuple(CallDelta(c.index, c.name, c.arguments) for c in delta.tool_calls),
        logprobs=tuple(map(_logprob_in, delta.logprobs)),
        finish_reason=known(_FINISH, delta.finish_reason, "finish_reason"),
    )


def _delta_out(delta: Delta) -> pb.Delta:
    return pb.Delta(
        index=delta.index,
        ids=delta.ids,
        text=delta.text,
        reasoning=delta.reasoning,
        tool_calls=[
            pb.ToolCallDelta(index=c.index, name=c.name, arguments=c.arguments) for c in delta.calls
        ],
        logprobs=map(_logprob_out, delta.logprobs),
        finish_reason=_FINISH_OUT[delta.finish_reason],
    )


def _logprob_in(logprob: pb.TokenLogprob) -> TokenLogprob:
    top = tuple(map(_logprob_in, logprob.top))
    return TokenLogprob(logprob.id, logprob.token, logprob.logprob, top)


def _logprob_out(logprob: TokenLogprob) -> pb.TokenLogprob:
    return pb.TokenLogprob(
        id=logprob.id,
        token=logprob.token,
        logprob=logprob.logprob,
        top=map(_logprob_out, logprob.top),
    )


def _usage_in(usage: pb.Usage) -> Usage:
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )


def _usage_out(usage: Usage) -> pb.Usage:
    return pb.Usage(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )


def parse_in(
    request: pb.ParseRequest,
) -> tuple[str, list[int], list[int], Calling, tuple[str, ...]]:
    """The arguments of `Inference.parse`, in their order."""
    calling = _calling_in(request.calling) if request.HasField("calling") else Calling()
    prompt_ids, output_ids = list(request.prompt_ids), list(request.output_ids)
    return request.model, prompt_ids, output_ids, calling, tuple(request.stop)


def parse_out(
    model: str,
    prompt_ids: Sequence[int],
    output_ids: Sequence[int],
    calling: Calling,
    stop: tuple[str, ...],
) -> pb.ParseRequest:
    return pb.ParseRequest(
        model=model,
        prompt_ids=prompt_ids,
        output_ids=output_ids,
        calling=_calling_out(calling),
        stop=stop,
    )


def parsed_in(response: pb.ParseResponse) -> Parsed:
    calls = tuple(ParsedCall(call.name, call.arguments) for call in response.tool_calls)
    return Parsed(response.text, response.reasoning, calls)


def parsed_out(parsed: Parsed) -> pb.ParseResponse:
    return pb.ParseResponse(
        text=parsed.text,
        reasoning=parsed.reasoning,
        tool_calls=[pb.ParsedCall(name=c.name, arguments=c.arguments) for c in parsed.calls],
    )


def report_in(response: pb.WatchLoadResponse) -> Report:
    load = response.load
    return Report(
        tuple(map(_card_in, response.models)),
        Load(
            running=load.running,
            waiting=load.waiting,
            waiting_tokens=load.waiting_tokens,
            slots=load.slots,
            kv_cache_use=load.kv_cache_use,
            draining=load.draining,
        ),
    )


def report_out(report: Report) -> pb.WatchLoadResponse:
    load = report.load
    return pb.WatchLoadResponse(
        models=map(_card_out, report.models),
        load=pb.Load(
            running=load.running,
            waiting=load.waiting,
            waiting_tokens=load.waiting_tokens,
            slots=load.slots,
            kv_cache_use=load.kv_cache_use,
            draining=load.draining,
        ),
    )


def _card_in(card: pb.ModelCard) -> ModelCard:
    return ModelCard(
        id=card.id,
        context_tokens=card.context_tokens,
        calls_tools=card.calls_tools,
        reasons=card.reasons,
        summarises=card.summarises,
        created_at=card.created_at,
        sees=card.sees,
    )


def _card_out(card: ModelCard) -> pb.ModelCard:
    return pb.ModelCard(
        id=card.id,
        context_tokens=card.context_tokens,
        calls_tools=card.calls_tools,
        reasons=card.reasons,
        summarises=card.summarises,
        created_at=card.created_at,
        sees=card.sees,
    )
