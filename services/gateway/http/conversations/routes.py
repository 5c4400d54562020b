"""`/v1/conversations`: chats that the mesh keeps, turn after turn."""

from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request

from services.gateway.http.conversations.request import (
    AddItemsRequest,
    CreateConversationRequest,
    Limit,
    Order,
    Start,
    UpdateConversationRequest,
    added,
    paging,
)
from services.gateway.http.conversations.resources import (
    conversation_resource,
    deleted_resource,
)
from services.gateway.http.guarded import GuardedRoute, session_of
from services.gateway.http.leaving import unless_left
from services.gateway.http.once import once_of
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.items import InputItem, read_input
from services.gateway.http.responses.request import field_of
from services.gateway.http.responses.resources import (
    item_resource,
    items_resource,
    list_resource,
)
from services.gateway.http.turns import named
from services.shared.errors import MeshError

router = APIRouter(route_class=GuardedRoute)
_ALL = "/v1/conversations"
_ONE = "/v1/conversations/{conversation_id}"
_ITEMS = "/v1/conversations/{conversation_id}/items"
_ITEM = "/v1/conversations/{conversation_id}/items/{item_id}"
Result = TypeVar("Result")


@router.post(_ALL, response_model=None)
async def create_conversation(
    request: Request, body: CreateConversationRequest | None = None
) -> JsonObject:
    """Begins a conversation, with items if any are given; they are moderated as input is."""
    body = body or CreateConversationRequest()
    items = replace(added(body.items), once=await once_of(request))
    creating = session_of(request).create_conversation(items, body.metadata or {})
    return conversation_resource(await _done(request, creating, body.items))


@router.get(_ALL, response_model=None)
async def list_conversations(
    request: Request, after: Start = None, limit: Limit = 20, order: Order = "desc"
) -> JsonObject:
    """The conversations of the key's project, the newest first. OpenAI has no such list."""
    page = await session_of(request).list_conversations(paging(after, limit, order))
    return list_resource([*map(conversation_resource, page.cards)], has_more=page.has_more)


@router.get(_ONE, response_model=None)
async def get_conversation(conversation_id: str, request: Request) -> JsonObject:
    """What is known of a conversation, beside its items."""
    return conversation_resource(
        await _done(request, session_of(request).get_conversation(conversation_id))
    )


@router.post(_ONE, response_model=None)
async def update_conversation(
    conversation_id: str, body: UpdateConversationRequest, request: Request
) -> JsonObject:
    """Replaces the conversation's metadata."""
    session, metadata = session_of(request), body.metadata or {}
    return conversation_resource(
        await _done(request, session.update_conversation(conversation_id, metadata))
    )


@router.delete(_ONE, response_model=None)
async def delete_conversation(conversation_id: str, request: Request) -> JsonObject:
    """Erases the conversation and all that was said in it, the responses too."""
    await _done(request, session_of(request).delete_conversation(conversation_id))
    return deleted_resource(conversation_id)


@router.post(_ITEMS, response_model=None)
async def add_items(conversation_id: str, body: AddItemsRequest, request: Request) -> JsonObject:
    """Adds items at the end; a turn that is under way there comes before them."""
    items = replace(added(body.items), once=await once_of(request))
    adding = session_of(request).add_items(conversation_id, items)
    return items_resource(await _done(request, adding, body.items), has_more=False)


@router.get(_ITEMS, response_model=None)
async def list_items(
    conversation_id: str,
    request: Request,
    after: Start = None,
    limit: Limit = 20,
    order: Order = "desc",
) -> JsonObject:
    """What was said in the conversation, the newest first. All of an item is always included."""
    listing = session_of(request).list_items(conversation_id, paging(after, limit, order))
    page = await _done(request, listing)
    return items_resource(page.items, has_more=page.has_more)


@router.get(_ITEM, response_model=None)
async def get_item(conversation_id: str, item_id: str, request: Request) -> JsonObject:
    """One item of the conversation."""
    return item_resource(
        await _done(request, session_of(request).get_item(conversation_id, item_id))
    )


@router.delete(_ITEM, response_model=None)
async def delete_item(conversation_id: str, item_id: str, request: Request) -> JsonObject:
    """Erases one item, and every summary that may hold its words; answers the conversation."""
    deleting = session_of(request).delete_item(conversation_id, item_id)
    return conversation_resource(await _done(request, deleting))


async def _done(
    request: Request, work: Coroutine[Any, Any, Result], items: list[InputItem] | None = None
) -> Result:
    """The result; what is wrong is told by the names that the caller knows."""
    try:
        return await unless_left(request, work)
    except MeshError as error:
        raise named(error, partial(_ours, items or [])) from None


def _ours(items: list[InputItem], param: str) -> str:
    """Of an item that is wrong, its place in the caller's list."""
    if param.startswith("input"):
        return f"items{field_of(param, read_input(items)).removeprefix('input')}"
    return "conversation_id" if param == "conversation" else param
