"""How a tree's record looks in a database; pure functions, both directions."""

import json
from collections.abc import Mapping
from typing import Any

from services.context_assembly.adapters.trees.record import Mark, Record
from services.context_assembly.adapters.trees.rows import Place, StoredRecord, Tree
from services.context_assembly.api import StoredConversation
from services.shared.scope import Scope


def record_out(record: Record) -> StoredRecord:
    begun = record.conversation
    text = json.dumps(
        {
            "gone": record.gone,
            "conversation": begun and _conversation_out(begun),
            "marks": {turn_id: _mark_out(mark) for turn_id, mark in record.marks.items()},
            "writes": [*record.writes],
        },
        separators=(",", ":"),
    )
    return StoredRecord(record.version, text)


def record_in(tree: Tree, stored: StoredRecord | None) -> Record:
    if stored is None:
        return Record()
    found = json.loads(stored.text)
    return Record(
        stored.version,
        found["gone"],
        found["conversation"] and _conversation_in(tree, found["conversation"]),
        {turn_id: _mark_in(*fields) for turn_id, fields in found["marks"].items()},
        found["writes"],
    )


def _conversation_out(begun: StoredConversation) -> Mapping[str, Any]:
    return {
        "id": begun.id,
        "person": begun.scope.person,
        "created_at_ms": begun.created_at_ms,
        "metadata": {**begun.metadata},
        "head": begun.head,
    }


def _conversation_in(tree: Tree, found: Mapping[str, Any]) -> StoredConversation:
    scope = Scope(tree.organisation, tree.project, found["person"])
    return StoredConversation(
        found["id"], scope, found["created_at_ms"], found["metadata"], found["head"]
    )


def _mark_out(mark: Mark) -> list[Any]:
    return [mark.place, mark.erasures, mark.erased, [*mark.items], mark.ids_lost_at]


def _mark_in(place: list[Any] | None, *fields: Any) -> Mark:
    return Mark(Place(*place) if place else None, *fields)
