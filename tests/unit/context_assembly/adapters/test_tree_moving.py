from typing import Any

import pytest

from services.context_assembly.adapters.trees.turns import TreeTurns
from services.context_assembly.api import StoredConversation
from services.context_assembly.ports import ConversationRecord, TurnRecord
from services.shared.moving import CannotKeep
from tests.fakes.context_assembly import SCOPE
from tests.fakes.turn_trees import id_of, turn


async def test_what_does_not_name_the_root_of_its_tree_is_refused() -> None:
    """A store that keeps each tree in a place of its own would not find it again."""
    untouched: Any = None
    store = TreeTurns(untouched)
    place = (SCOPE.organisation, SCOPE.project)
    old = TurnRecord(*place, "resp_old", id_of("a"), id_of("a"), 1, 0, turn("b", "a"), {})
    begun = StoredConversation("conv_old", SCOPE, 1, {}, id_of("a"))
    for record in (old, ConversationRecord(begun, id_of("a"))):
        with pytest.raises(CannotKeep, match="does not name the root of its tree"):
            await store.put_records([record])
