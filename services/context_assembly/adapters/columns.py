"""How turns and conversations look in the tables of an SQL database; pure, both directions."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from services.context_assembly.adapters.reach import characters
from services.context_assembly.adapters.records import (
    items_in,
    items_out,
    names_in,
    names_out,
    token_ids_in,
    token_ids_out,
)
from services.context_assembly.api import KeptIds, StoredConversation, Turn
from services.context_assembly.compactions import compacts
from services.context_assembly.ports import (
    ConversationRecord,
    ErasedFactRecord,
    HandledRecord,
    PastTurn,
    Summary,
    TurnRecord,
)
from services.shared.scope import Scope
from services.shared.table_pages import KeyedTable


class Row(Protocol):
    """What a database returns, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


def place(scope: Scope) -> dict[str, Any]:
    return {"organisation": scope.organisation, "project": scope.project}


def named(scope: Scope, one_id: str) -> dict[str, Any]:
    return place(scope) | {"id": one_id}


def said(turn: Turn) -> dict[str, Any]:
    """The columns of a turn, without its place and its kept ids."""
    return {
        "parent_id": turn.parent_id,
        "chars": characters(turn),
        "conversation_id": turn.conversation_id,
        "created_at_ms": turn.created_at_ms,
        "person": turn.scope.person,
        "memory_ids": names_out(turn.memory_ids),
        "input": items_out(turn.input),
        "output": items_out(turn.output),
        "compacts": compacts(turn),
        "document": turn.document,
    }


def kept(ids: KeptIds) -> dict[str, Any]:
    return {
        "model": ids.model,
        "inherited": ids.inherited,
        "fact_ids": names_out(ids.fact_ids),
        "erasures_known": ids.erasures_known,
        "ids": token_ids_out(ids.ids),
    }


def past(row: Row) -> PastTurn:
    return PastTurn(
        *(row["id"], items_in(row["input"]), items_in(row["output"])),
        *(names_in(row["memory_ids"]), kept_ids(row)),
    )


def kept_ids(row: Row) -> KeptIds | None:
    if row["kept_ids"] is None:
        return None
    return KeptIds(
        row["kept_model"],
        row["kept_inherited"],
        token_ids_in(row["kept_ids"]),
        names_in(row["kept_fact_ids"]),
        row["kept_erasures_known"],
    )


def summary(row: Row) -> Summary:
    return Summary(row["id"], row["summary_items"], row["summary_text"])


def turn(row: Row) -> Turn:
    return Turn(
        id=row["id"],
        scope=Scope(row["organisation"], row["project"], row["person"]),
        parent_id=row["parent_id"],
        created_at_ms=row["created_at_ms"],
        input=items_in(row["input"]),
        output=items_in(row["output"]),
        memory_ids=names_in(row["memory_ids"]),
        document=row["document"],
        kept_ids=kept_ids(row),
        conversation_id=row["conversation_id"],
    )


def begun(conversation: StoredConversation, root_id: str) -> dict[str, Any]:
    return {
        **named(conversation.scope, conversation.id),
        "root_id": root_id,
        "head": conversation.head,
        "created_at_ms": conversation.created_at_ms,
        "person": conversation.scope.person,
        **metadata(conversation.metadata),
    }


def metadata(given: Mapping[str, str]) -> dict[str, Any]:
    return {"metadata": json.dumps({**given})}


def conversation(row: Row) -> StoredConversation:
    return StoredConversation(
        id=row["id"],
        scope=Scope(row["organisation"], row["project"], row["person"]),
        created_at_ms=row["created_at_ms"],
        metadata=json.loads(row["metadata"]),
        head=row["head"],
    )


# Of an erased turn: its words were overwritten by empty ones when it was erased.
_NOTHING_SAID = {
    "conversation_id": "",
    "created_at_ms": 0,
    "compacts": False,
    **dict.fromkeys(("person", "memory_ids", "input", "output", "document"), ""),
}


def recorded(record: TurnRecord) -> dict[str, Any]:
    """The columns of a turn with its place in the tree, without its key and its kept ids."""
    return {
        **(said(record.turn) if record.turn else _NOTHING_SAID),
        "parent_id": record.parent_id,
        "root_id": record.root_id,
        "chars": record.chars,
        "erased": record.turn is None,
        "below_erased": record.erasures,
    }


def turn_record(row: Row, summaries: Mapping[str, Summary]) -> TurnRecord:
    return TurnRecord(
        *(row["organisation"], row["project"], row["id"]),
        parent_id=row["parent_id"],
        root_id=row["root_id"],
        chars=row["chars"],
        erasures=row["below_erased"],
        turn=None if row["erased"] else turn(row),
        summaries=summaries,
    )


def _erased_fact(row: Row) -> ErasedFactRecord:
    names = ("organisation", "project", "fact_id", "number")
    return ErasedFactRecord(*(row[name] for name in names))


# For `Movable`; turns, whose summaries stand in a table of their own, are read by each store.
TABLES: Mapping[type, KeyedTable] = {
    ConversationRecord: KeyedTable(
        "SELECT * FROM conversation",
        ("organisation", "project", "id"),
        lambda row: ConversationRecord(conversation(row), row["root_id"]),
    ),
    ErasedFactRecord: KeyedTable(
        "SELECT * FROM erased_fact", ("organisation", "project", "fact_id"), _erased_fact
    ),
    HandledRecord: KeyedTable(
        "SELECT * FROM (SELECT * FROM erasures_handled WHERE number > 0) AS handled",
        ("number",),
        lambda row: HandledRecord(row["number"]),
    ),
}
