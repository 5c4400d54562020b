"""The OpenAPI document: requests as the code reads them, and what every route answers.

FastAPI knows paths, parameters and bodies. What it cannot know stands in `ANSWERS`: what comes
back, since presenters make that, and by which status each kind of route refuses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.http.answered_items import OneItemAnswer
from services.gateway.http.answers import (
    ChatCompletionAnswer,
    CompactedAnswer,
    ConversationAnswer,
    ConversationListAnswer,
    ErasedAnswer,
    ErrorEnvelope,
    HealthAnswer,
    InputTokensAnswer,
    ItemListAnswer,
    ModelAnswer,
    ModelListAnswer,
    ResponseAnswer,
    SteeredAnswer,
)
from services.gateway.http.guarded import GuardedRoute
from services.gateway.http.presenting import JsonObject

_REFERENCE = "#/components/schemas/{model}"
_JSON, _EVENTS, _TEXT = "application/json", "text/event-stream", "text/plain"

# One event of a stream.
_EVENT: JsonObject = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
_REFUSALS: Mapping[int, str] = {
    400: "A field is wrong, or policy forbids the words; `param` names the field",
    401: "No valid key",
    403: "The key may not do this",
    404: "No such model or object, or it is somebody else's",
    408: "The body took too long to arrive",
    409: "Another request stands against it, or the turn was stopped",
    410: "The events are gone; what was stored is there",
    413: "The body is too large",
    415: "The body is no JSON, or is packed in a way that is not known here",
    429: "Too many turns at once; `retry-after` says when to come again",
    500: "A fault of the server's",
    503: "Overloaded, or a service is not there; `retry-after` may say when to come again",
    504: "It took too long",
}
# What every guarded route may say, what one that reads a body may, and one that starts a turn.
_ALWAYS = (401, 500, 503, 504)
_OF_BODIES = (400, 408, 413, 415)
_OF_TURNS = (404, 409, 429)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a route answers when all went well, and how it refuses besides what all routes do."""

    model: type[BaseModel] | None
    refusals: Sequence[int] = ()
    # A beginning of its event stream, where it has one.
    stream: str = ""
    # A body that a caller may send.
    request: JsonObject | None = None


_CHAT: JsonObject = {
    "model": "chatmesh-demo",
    "messages": [{"role": "user", "content": "What is 17 times 23?"}],
    "tools": [{"type": "mcp", "server_label": "chatmesh"}],
}
_RESPONSE: JsonObject = {
    "model": "chatmesh-demo",
    "input": "remember that my dog is called Rex",
    "tools": [{"type": "mcp", "server_label": "chatmesh"}],
}
_COUNTED: JsonObject = {"model": "chatmesh-demo", "input": "How long is this?"}
_METADATA: JsonObject = {"metadata": {"topic": "dogs"}}
_ITEMS: JsonObject = {
    "items": [{"type": "message", "role": "user", "content": "My dog is called Rex."}]
}
_CONVERSATION: JsonObject = {**_METADATA, **_ITEMS}
_CHUNKS = 'data: {"object":"chat.completion.chunk","choices":[...],...}\n\ndata: [DONE]\n\n'
_RESPONSE_EVENTS = (
    'event: response.created\ndata: {"type":"response.created","sequence_number":0,...}\n\n'
    "data: [DONE]\n\n"
)
# By the route's name. A route that is not here is a bug, which a test finds.
ANSWERS: Mapping[str, Answers] = {
    "ChatCompletionRequest": Answers(ChatCompletionAnswer, _OF_TURNS, _CHUNKS, _CHAT),
    "ResponseRequest": Answers(ResponseAnswer, _OF_TURNS, _RESPONSE_EVENTS, _RESPONSE),
    "count_input_tokens": Answers(InputTokensAnswer, (404,), request=_COUNTED),
    "list_input_items": Answers(ItemListAnswer, (400, 404)),
    "cancel_response": Answers(ResponseAnswer, (400, 404, 409)),
    "get_response": Answers(ResponseAnswer, (400, 404, 410), _RESPONSE_EVENTS),
    "delete_response": Answers(ErasedAnswer, (404,)),
    "steer_response": Answers(SteeredAnswer, (*_OF_TURNS, 410)),
    "CompactRequest": Answers(CompactedAnswer, _OF_TURNS, request=_COUNTED),
    "create_conversation": Answers(ConversationAnswer, (409,), request=_CONVERSATION),
    "list_conversations": Answers(ConversationListAnswer, (400,)),
    "get_conversation": Answers(ConversationAnswer, (404,)),
    "update_conversation": Answers(ConversationAnswer, (404,), request=_METADATA),
    "delete_conversation": Answers(ErasedAnswer, (404,)),
    "add_items": Answers(ItemListAnswer, (404, 409), request=_ITEMS),
    "list_items": Answers(ItemListAnswer, (400, 404)),
    "get_item": Answers(OneItemAnswer, (404,)),
    "delete_item": Answers(ConversationAnswer, (404, 409)),
    "list_models": Answers(ModelListAnswer),
    "get_model": Answers(ModelAnswer, (404,)),
    "healthz": Answers(HealthAnswer),
    "readyz": Answers(HealthAnswer, (503,)),
}


def document(app: FastAPI, answers: Mapping[str, Answers] = ANSWERS) -> JsonObject:
    """The whole document; one of the protocols may be a test's, and then it has no answers."""
    made = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = made["components"]["schemas"]
    for unsaid in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unsaid, None)
    models = {each.model for each in answers.values() if each.model} | {ErrorEnvelope}
    wanted = [(model, "serialization") for model in sorted(models, key=lambda each: each.__name__)]
    _, told = models_json_schema(wanted, ref_template=_REFERENCE)  # type: ignore[arg-type]
    schemas |= told["$defs"]
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods:
                operation = made["paths"][route.path_format][method.lower()]
                _describe(operation, route, answers.get(route.name, Answers(None)))
    return made


def _describe(operation: JsonObject, route: APIRoute, answers: Answers) -> None:
    guarded = isinstance(route, GuardedRoute)
    refusals = {*answers.refusals, *(_ALWAYS if guarded else ())}
    if "requestBody" in operation:
        refusals |= {*_OF_BODIES}
        if answers.request:
            operation["requestBody"]["content"][_JSON]["example"] = answers.request
    if guarded:
        operation["security"] = [{"key": []}]
    operation["responses"] = {
        "200": {"description": "As asked", "content": _content(answers)},
        **{str(status): _refusal(status, guarded=guarded) for status in sorted(refusals)},
    }


def _content(answers: Answers) -> JsonObject:
    if answers.model is None:
        return {_TEXT: {"schema": {"type": "string"}}}
    content: JsonObject = {_JSON: {"schema": _schema(answers.model)}}
    if answers.stream:
        content[_EVENTS] = {"schema": _EVENT, "example": answers.stream}
    return content


def _refusal(status: int, *, guarded: bool) -> JsonObject:
    model = ErrorEnvelope if guarded else HealthAnswer
    return {"description": _REFUSALS[status], "content": {_JSON: {"schema": _schema(model)}}}


def _schema(model: type[Any]) -> JsonObject:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
