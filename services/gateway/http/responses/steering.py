"""Words for a response that is being made, as callers send them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from services.gateway.api import Response
from services.gateway.http.parts import FilledContent, parts_of
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.resources import in_namespace, item_resource
from services.gateway.values import MOST_WORDS, Body, tagged
from services.shared.conversation import Call, Item, Message, Role, RunBy


class SteeringMessage(Body):
    """Only a user's message can be taken in while a response is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["message"] = "message"
    role: Literal["user"]
    content: FilledContent
    id: str | None = None
    status: str | None = None

    def item(self) -> Item:
        return Message(self.id or "", Role.USER, parts_of(self.content))


Words = Annotated[
    Annotated[str, Field(min_length=1), Tag("@text")]
    | Annotated[
        list[SteeringMessage], Field(min_length=1, max_length=MOST_WORDS), Tag("@messages")
    ],
    tagged(
        lambda value: {str: "text", list: "messages"}.get(type(value)),
        "a string or a list of messages of a user",
    ),
]


class SteeringRequest(Body):
    """The body of `POST /v1/responses/{id}/steer`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Words

    def words(self) -> tuple[Item, ...]:
        if isinstance(self.input, str):
            message = SteeringMessage(role="user", content=self.input)
            return (message.item(),)
        return tuple(each.item() for each in self.input)


def wanted_of_caller(response: Response) -> list[JsonObject]:
    """The results that the caller's functions owe the response, as they are to be sent."""
    return [
        _wanted(item, response.echo)
        for item in response.output
        if isinstance(item, Call) and item.run_by is RunBy.CALLER
    ]


def _wanted(call: Call, echo: str) -> JsonObject:
    if call.text_input:
        return {"type": "custom_tool_call_output", "call_id": call.call_id}
    name = in_namespace(item_resource(call), echo)["name"]
    return {"type": "function_call_output", "call_id": call.call_id, "name": name}
