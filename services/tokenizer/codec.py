"""How the tokenizer's types look on the wire; pure functions, both directions."""

from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb

from services.shared.codec import tool_call_in, tool_call_out, tool_in, tool_out
from services.shared.conversation_codec import role_in, role_out
from services.tokenizer.api import Candidate, FitRequest, Fitted, TemplateMessage


def fit_request_in(request: pb.FitRequest) -> FitRequest:
    return FitRequest(
        model=request.model,
        candidates=[Candidate(message_in(c.message), c.unit) for c in request.candidates],
        tools=[*map(tool_in, request.tools)],
        max_tokens=request.max_tokens,
        drop_step_tokens=request.drop_step_tokens,
        left_out=message_in(request.left_out) if request.HasField("left_out") else None,
        template_options=dict(request.template_options),
    )


def fit_request_out(request: FitRequest) -> pb.FitRequest:
    return pb.FitRequest(
        model=request.model,
        candidates=[
            pb.Candidate(message=message_out(c.message), unit=c.unit) for c in request.candidates
        ],
        tools=map(tool_out, request.tools),
        max_tokens=request.max_tokens,
        drop_step_tokens=request.drop_step_tokens,
        left_out=message_out(request.left_out) if request.left_out else None,
        template_options=request.template_options or {},
    )


def message_in(message: pb.TemplateMessage) -> TemplateMessage:
    return TemplateMessage(
        role=role_in(message.role),
        text=message.text,
        reasoning=message.reasoning,
        tool_calls=tuple(map(tool_call_in, message.tool_calls)),
        tool_call_id=message.tool_call_id,
        pictures=tuple(message.pictures),
    )


def message_out(message: TemplateMessage) -> pb.TemplateMessage:
    return pb.TemplateMessage(
        role=role_out(message.role),
        text=message.text,
        reasoning=message.reasoning,
        tool_calls=map(tool_call_out, message.tool_calls),
        tool_call_id=message.tool_call_id,
        pictures=message.pictures,
    )


def fit_response_in(response: pb.FitResponse) -> Fitted:
    return Fitted(response.ids, response.dropped_through_unit)


def fit_response_out(fitted: Fitted) -> pb.FitResponse:
    return pb.FitResponse(ids=fitted.ids, dropped_through_unit=fitted.dropped_through_unit)
