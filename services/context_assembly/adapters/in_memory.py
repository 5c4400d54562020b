"""Conversations that end with the process."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.context_assembly.adapters.reach import characters, unread
from services.context_assembly.api import KeptIds, Turn
from services.context_assembly.ports import PastTurn, Path, Summary
from services.memory.api import Erasure
from services.shared.scope import Scope

# Organisation, project, id.
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Node:
    key: _Key
    # None: it is the root.
    parent: _Key | None
    root: _Key
    # Of the path from the root through this turn.
    chars: int
    # Whether it is erased, or a turn above it is.
    below_erased: bool
    # None: erased.
    turn: Turn | None


class InMemoryTurns:
    """A `TurnStore`."""

    def __init__(self) -> None:
        self._nodes: dict[_Key, _Node] = {}
        self._children: dict[_Key, list[_Key]] = defaultdict(list)
        # By turn and model.
        self._summaries: dict[tuple[_Key, str], Summary] = {}
        # The number of each fact's last erasure.
        self._erased_facts: dict[_Key, int] = {}
        self._erasures_handled = 0

    async def path(self, scope: Scope, turn_id: str, model: str, max_chars: int) -> Path | None:
        leaf = self._nodes.get(_key(scope, turn_id))
        if leaf is None or leaf.turn is None:
            return None
        far = unread(leaf.chars, max_chars)
        nodes: list[_Node] = []
        summary = None
        for node in self._upwards(leaf):
            if node.chars <= far and nodes:
                break
            nodes.append(node)
            if summary := self._summaries.get((node.key, model)):
                break
        root, first = self._nodes[leaf.root], nodes[-1]
        return Path(
            turns=[_past(node.turn) for node in reversed(nodes) if node.turn],
            summary=summary,
            root=_past(root.turn, with_ids=root is first) if root.turn else None,
            cut=first.parent is not None and summary is None,
        )

    async def add(self, turn: Turn) -> bool:
        key = _key(turn.scope, turn.id)
        if key in self._nodes:
            return True
        if not turn.parent_id:
            self._put(_Node(key, None, key, characters(turn), below_erased=False, turn=turn))
            return True
        parent = self._nodes.get(_key(turn.scope, turn.parent_id))
        if parent is None or parent.turn is None:
            return False
        chars = parent.chars + characters(turn)
        self._put(_Node(key, parent.key, parent.root, chars, parent.below_erased, turn))
        self._children[parent.key].append(key)
        return True

    def _put(self, node: _Node) -> None:
        turn = node.turn
        if turn and turn.kept_ids and not self._may_keep(node, turn, turn.kept_ids):
            node = replace(node, turn=replace(turn, kept_ids=None))
        self._nodes[node.key] = node

    def _may_keep(self, node: _Node, turn: Turn, kept: KeptIds) -> bool:
        read = (_key(turn.scope, fact_id) for fact_id in kept.fact_ids)
        erased_later = any(self._erased_facts.get(fact, 0) > kept.erasures_known for fact in read)
        if node.below_erased or erased_later:
            return False
        if not kept.inherited:
            return True
        above = self._nodes[node.parent].turn if node.parent else None
        return bool(above and above.kept_ids and above.kept_ids.model == kept.model)

    async def get(self, scope: Scope, turn_id: str) -> Turn | None:
        node = self._nodes.get(_key(scope, turn_id))
        return node.turn if node else None

    async def erase(self, scope: Scope, turn_id: str) -> bool:
        node = self._nodes.get(_key(scope, turn_id))
        if node is None or node.turn is None:
            return False
        self._nodes[node.key] = replace(node, turn=None)
        below = {*self._downwards(node.key)}
        self._drop_kept_ids(below)
        for key in below:
            self._nodes[key] = replace(self._nodes[key], below_erased=True)
        for summarised in [*self._summaries]:
            if summarised[0] in below:
                del self._summaries[summarised]
        return True

    async def keep_summary(
        self,
        scope: Scope,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        if not all([await self.get(scope, turn_id) for turn_id in covers]):
            return False
        if grown_from:
            earlier = self._summaries.get((_key(scope, grown_from.turn_id), model))
            if earlier != grown_from:
                return False
        self._summaries[_key(scope, summary.turn_id), model] = summary
        return True

    async def forget_facts(self, erasure: Erasure) -> None:
        facts = {_key(erasure.scope, fact_id) for fact_id in erasure.fact_ids}
        for fact in facts:
            self._erased_facts[fact] = max(self._erased_facts.get(fact, 0), erasure.number)
        for node in [*self._nodes.values()]:
            kept = node.turn.kept_ids if node.turn else None
            if kept and facts & {(*node.key[:2], fact_id) for fact_id in kept.fact_ids}:
                self._drop_kept_ids(self._downwards(node.key))
        self._erasures_handled = max(self._erasures_handled, erasure.number)

    async def erasures_handled(self) -> int:
        return self._erasures_handled

    def _drop_kept_ids(self, keys: Iterable[_Key]) -> None:
        for key in keys:
            node = self._nodes[key]
            if node.turn:
                self._nodes[key] = replace(node, turn=replace(node.turn, kept_ids=None))

    def _upwards(self, node: _Node) -> Iterator[_Node]:
        yield node
        while node.parent:
            node = self._nodes[node.parent]
            yield node

    def _downwards(self, key: _Key) -> Iterator[_Key]:
        """The turn and all below it."""
        left = [key]
        while left:
            reached = left.pop()
            left += self._children.get(reached, ())
            yield reached


def _key(scope: Scope, one_id: str) -> _Key:
    return scope.organisation, scope.project, one_id


def _past(turn: Turn, *, with_ids: bool = True) -> PastTurn:
    kept = turn.kept_ids if with_ids else None
    return PastTurn(turn.id, turn.input, turn.output, turn.memory_ids, kept)
