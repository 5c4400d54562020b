"""Words for a response that is being made, as callers send them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, Tag

from services.gateway.http.fields import Body, tagged
from services.gateway.http.parts import FilledContent, parts_of
from services.shared.conversation import Item, Message, Role


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
    | Annotated[list[SteeringMessage], Field(min_length=1, max_length=64), Tag("@messages")],
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
