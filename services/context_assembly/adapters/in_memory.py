"""Conversations that end with the process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.context_assembly.adapters.reach import characters, unread
from services.context_assembly.api import Turn
from services.context_assembly.ports import PastTurn, Path, Summary


@dataclass(frozen=True, slots=True)
class _Node:
    id: str
    parent_id: str
    root_id: str
    # Of the path from the root through this turn.
    chars: int
    # None: erased.
    turn: Turn | None


class InMemoryTurns:
    """A `TurnStore`."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._summaries: dict[tuple[str, str, str], Summary] = {}

    async def path(self, tenant: str, turn_id: str, model: str, max_chars: int) -> Path | None:
        leaf = self._nodes.get((tenant, turn_id))
        if leaf is None or leaf.turn is None:
            return None
        far = unread(leaf.chars, max_chars)
        nodes: list[_Node] = []
        summary = None
        for node in self._upwards(tenant, turn_id):
            if node.chars <= far and nodes:
                break
            nodes.append(node)
            if summary := self._summaries.get((tenant, node.id, model)):
                break
        root = self._nodes[tenant, leaf.root_id]
        return Path(
            turns=[_past(node.turn) for node in reversed(nodes) if node.turn],
            summary=summary,
            root=_past(root.turn) if root.turn else None,
            cut=bool(nodes[-1].parent_id) and summary is None,
        )

    async def add(self, turn: Turn) -> bool:
        tenant = turn.scope.tenant
        if (tenant, turn.id) in self._nodes:
            return True
        parent = self._nodes.get((tenant, turn.parent_id))
        if turn.parent_id and (parent is None or parent.turn is None):
            return False
        root_id, before = (parent.root_id, parent.chars) if parent else (turn.id, 0)
        chars = before + characters(turn)
        self._nodes[tenant, turn.id] = _Node(turn.id, turn.parent_id, root_id, chars, turn)
        return True

    async def get(self, tenant: str, turn_id: str) -> Turn | None:
        node = self._nodes.get((tenant, turn_id))
        return node.turn if node else None

    async def erase(self, tenant: str, turn_id: str) -> bool:
        node = self._nodes.get((tenant, turn_id))
        if node is None or node.turn is None:
            return False
        self._nodes[tenant, turn_id] = _Node(
            node.id, node.parent_id, node.root_id, node.chars, turn=None
        )
        for key in [*self._summaries]:
            ids = {above.id for above in self._upwards(key[0], key[1])}
            if key[0] == tenant and turn_id in ids:
                del self._summaries[key]
        return True

    async def keep_summary(
        self,
        tenant: str,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        if not all([await self.get(tenant, turn_id) for turn_id in covers]):
            return False
        if grown_from and self._summaries.get((tenant, grown_from.turn_id, model)) != grown_from:
            return False
        self._summaries[tenant, summary.turn_id, model] = summary
        return True

    def _upwards(self, tenant: str, turn_id: str) -> Iterator[_Node]:
        while turn_id:
            node = self._nodes[tenant, turn_id]
            yield node
            turn_id = node.parent_id


def _past(turn: Turn) -> PastTurn:
    return PastTurn(turn.id, turn.input, turn.output, turn.memory_ids)
