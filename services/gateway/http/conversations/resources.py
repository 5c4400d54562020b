"""Conversations, ready to become JSON."""

from services.gateway.api import ConversationCard
from services.gateway.http.presenting import JsonObject


def conversation_resource(card: ConversationCard) -> JsonObject:
    return {
        "id": card.id,
        "object": "conversation",
        "created_at": card.created_at_ms // 1000,
        "metadata": {**card.metadata},
    }


def deleted_resource(conversation_id: str) -> JsonObject:
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
