"""How turns look in the rows of SQLite; pure functions, both directions."""

import sqlite3
from typing import Any

from services.context_assembly.adapters.reach import characters
from services.context_assembly.adapters.records import (
    items_in,
    items_out,
    names_in,
    names_out,
    token_ids_in,
    token_ids_out,
)
from services.context_assembly.api import KeptIds, Turn
from services.context_assembly.compactions import compacts
from services.context_assembly.ports import PastTurn, Summary
from services.shared.scope import Scope

KEPT = """kept_ids.model AS kept_model, kept_ids.inherited AS kept_inherited,
        kept_ids.ids AS kept_ids, kept_ids.fact_ids AS kept_fact_ids,
        kept_ids.erasures_known AS kept_erasures_known"""
JOIN_KEPT = """LEFT JOIN kept_ids ON kept_ids.organisation = turn.organisation
        AND kept_ids.project = turn.project AND kept_ids.turn_id = turn.id"""


def said(turn: Turn) -> dict[str, Any]:
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


def place(scope: Scope) -> dict[str, Any]:
    return {"organisation": scope.organisation, "project": scope.project}


def key_values(scope: Scope, turn_id: str) -> dict[str, Any]:
    return place(scope) | {"id": turn_id}


def past_in(row: sqlite3.Row) -> PastTurn:
    return PastTurn(
        *(row["id"], items_in(row["input"]), items_in(row["output"])),
        *(names_in(row["memory_ids"]), kept_ids_in(row)),
    )


def kept_values(kept: KeptIds) -> dict[str, Any]:
    return {
        "model": kept.model,
        "inherited": kept.inherited,
        "fact_ids": names_out(kept.fact_ids),
        "erasures_known": kept.erasures_known,
        "ids": token_ids_out(kept.ids),
    }


def kept_ids_in(row: sqlite3.Row) -> KeptIds | None:
    if row["kept_ids"] is None:
        return None
    return KeptIds(
        row["kept_model"],
        row["kept_inherited"],
        token_ids_in(row["kept_ids"]),
        names_in(row["kept_fact_ids"]),
        row["kept_erasures_known"],
    )


def summary_in(row: sqlite3.Row) -> Summary:
    return Summary(row["id"], row["summary_items"], row["summary_text"])


def turn_in(row: sqlite3.Row) -> Turn:
    return Turn(
        id=row["id"],
        scope=Scope(row["organisation"], row["project"], row["person"]),
        parent_id=row["parent_id"],
        created_at_ms=row["created_at_ms"],
        input=items_in(row["input"]),
        output=items_in(row["output"]),
        memory_ids=names_in(row["memory_ids"]),
        document=row["document"],
        kept_ids=kept_ids_in(row),
        conversation_id=row["conversation_id"],
    )
