"""The bodies and queries of `/v1/conversations`."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import AfterValidator, Field

from services.context_assembly.api import Paging
from services.gateway.api import Ask
from services.gateway.http.responses.items import (
    SOME_READ,
    InputCompactionTrigger,
    InputItem,
    InputUnread,
    read_input,
)
from services.gateway.values import MOST_ADDED, Body, Metadata, PageLimit, PageStart

Limit = Annotated[PageLimit, Query()]
Start = Annotated[PageStart | None, Query()]
Order = Annotated[Literal["asc", "desc"], Query()]


def _kept(items: list[InputItem]) -> list[InputItem]:
    if any(isinstance(item, InputCompactionTrigger) for item in items):
        raise ValueError("has a compaction_trigger, which stands in the input of a response alone")
    return items


def _some(items: list[InputItem]) -> list[InputItem]:
    if all(isinstance(item, InputUnread) for item in items):
        raise ValueError("has no item that the model reads")
    return items


_NO_TRIGGER = {"properties": {"type": {"not": {"const": "compaction_trigger"}}}}
Items = Annotated[
    list[InputItem],
    Field(max_length=MOST_ADDED, json_schema_extra={"allOf": [{"items": _NO_TRIGGER}]}),
    AfterValidator(_kept),
]


class CreateConversationRequest(Body):
    """Begins a conversation; what is not given is empty."""

    items: Items | None = None
    metadata: Metadata | None = None


class UpdateConversationRequest(Body):
    """Replaces the metadata; null empties it."""

    metadata: Metadata | None


class AddItemsRequest(Body):
    """Adds items at a conversation's end."""

    items: Annotated[Items, Field(min_length=1, json_schema_extra=SOME_READ), AfterValidator(_some)]


def added(items: list[InputItem] | None) -> Ask:
    """The items as a turn would take them in."""
    read = read_input(items or [])
    return Ask(model="", input=read.items, references=read.references)


def paging(after: str | None, limit: int, order: str) -> Paging:
    return Paging(after or "", limit, newest_first=order == "desc")
