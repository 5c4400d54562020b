"""Conversations and their items, ready to become JSON."""

from collections.abc import Sequence

from services.gateway.api import ConversationCard
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.resources import item_resource
from services.shared.conversation import Item


def conversation_resource(card: ConversationCard) -> JsonObject:
    return {
        "id": card.id,
        "object": "conversation",
        "created_at": card.created_at_ms // 1000,
        "metadata": {**card.metadata},
    }


def deleted_resource(conversation_id: str) -> JsonObject:
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}


def items_resource(items: Sequence[Item], *, has_more: bool) -> JsonObject:
    return list_resource([*map(item_resource, items)], has_more=has_more)


def list_resource(shown: Sequence[JsonObject], *, has_more: bool) -> JsonObject:
    """OpenAI's SDKs want ids that are strings, of an empty list too."""
    return {
        "object": "list",
        "data": [*shown],
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": has_more,
    }
