"""How the rows of a tree look in a database: columns by name; pure functions, both directions."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.context_assembly.adapters.records import (
    items_in,
    items_out,
    names_in,
    names_out,
    token_ids_in,
    token_ids_out,
)
from services.context_assembly.adapters.trees.rows import Place, Reading, Row, Tree
from services.context_assembly.api import KeptIds, Turn
from services.shared.scope import Scope

_PLACE = """
    id parent_id section position chars section_chars conversation_id lineage settled made_at
    erasures_known compacts kept_model written_at
""".split()
_KEPT = "kept_inherited kept_ids kept_fact_ids kept_erasures_known".split()
# What an erasure may change of a turn that stays.
REWRITTEN = [*"input output compacts kept_model".split(), *_KEPT]
# What it takes of a turn that goes.
ERASED = [*REWRITTEN, *"person memory_ids document".split()]
_PAST = [*_PLACE, *_KEPT, *"created_at_ms person memory_ids input output".split()]
COLUMNS: Mapping[Reading, Sequence[str]] = {
    Reading.PLACE: _PLACE,
    Reading.PAST: _PAST,
    Reading.WHOLE: [*_PAST, "document"],
}


def row_out(row: Row) -> dict[str, Any]:
    """All columns of a row that is new."""
    return {
        "id": row.id,
        "parent_id": row.parent_id,
        "section": row.section,
        "position": row.position,
        "chars": row.chars,
        "section_chars": row.section_chars,
        "conversation_id": row.conversation_id,
        "lineage": lineage_out(row.lineage),
        "settled": row.settled,
        "made_at": row.made_at,
        "erasures_known": row.erasures_known,
        "written_at": row.written_at,
        **rewritten_out(row),
        **(_unchanging_out(row.turn) if row.turn else {}),
    }


def rewritten_out(row: Row) -> dict[str, Any]:
    """The columns that an erasure may change."""
    turn = row.turn
    kept = turn.kept_ids if turn else None
    return {
        "input": items_out(turn.input) if turn else None,
        "output": items_out(turn.output) if turn else None,
        "compacts": row.compacts,
        "kept_model": kept.model if kept else None,
        "kept_inherited": kept.inherited if kept else None,
        "kept_ids": token_ids_out(kept.ids) if kept else None,
        "kept_fact_ids": names_out(kept.fact_ids) if kept else None,
        "kept_erasures_known": kept.erasures_known if kept else None,
    }


def _unchanging_out(turn: Turn) -> dict[str, Any]:
    return {
        "created_at_ms": turn.created_at_ms,
        "person": turn.scope.person,
        "memory_ids": names_out(turn.memory_ids),
        "document": turn.document,
    }


def row_in(tree: Tree, found: Mapping[str, Any]) -> Row:
    return Row(
        id=found["id"],
        parent_id=found["parent_id"],
        section=found["section"],
        position=found["position"],
        chars=found["chars"],
        section_chars=found["section_chars"],
        conversation_id=found["conversation_id"],
        lineage=lineage_in(found["lineage"]),
        settled=bool(found.get("settled")),
        made_at=found["made_at"],
        erasures_known=found["erasures_known"],
        compacts=bool(found["compacts"]),
        kept_model=found["kept_model"] or "",
        written_at=found["written_at"],
        turn=_turn_in(tree, found) if found.get("input") is not None else None,
    )


def _turn_in(tree: Tree, found: Mapping[str, Any]) -> Turn:
    return Turn(
        id=found["id"],
        scope=Scope(tree.organisation, tree.project, found["person"]),
        parent_id=found["parent_id"],
        created_at_ms=found["created_at_ms"],
        input=items_in(found["input"]),
        output=items_in(found["output"]),
        memory_ids=names_in(found["memory_ids"]),
        document=found.get("document", ""),
        kept_ids=_kept_in(found),
        conversation_id=found["conversation_id"],
    )


def _kept_in(found: Mapping[str, Any]) -> KeptIds | None:
    if found["kept_model"] is None:
        return None
    return KeptIds(
        found["kept_model"],
        found["kept_inherited"],
        token_ids_in(found["kept_ids"] or b""),
        names_in(found["kept_fact_ids"]),
        found["kept_erasures_known"],
    )


def lineage_out(lineage: Sequence[Place]) -> str:
    return json.dumps([*lineage], separators=(",", ":"))


def lineage_in(text: str) -> Sequence[Place]:
    return [Place(*place) for place in json.loads(text)]
