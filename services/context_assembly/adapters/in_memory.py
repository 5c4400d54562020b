"""Conversations that end with the process."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from services.context_assembly.adapters.reach import characters, unread
from services.context_assembly.api import KeptIds, Paging, StoredConversation, Turn
from services.context_assembly.compactions import compacts, uncompacted, without_item
from services.context_assembly.ports import (
    ConversationGone,
    ConversationRecord,
    ErasedFactRecord,
    HandledRecord,
    HeadMoved,
    PastTurn,
    Path,
    Stretch,
    Summary,
    TurnRecord,
)
from services.memory.api import Erasure
from services.shared.moving import Page, Record, page_of_list
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
    # How often anything of it or of a turn above it was erased.
    erasures: int
    # None: erased.
    turn: Turn | None


class InMemoryTurns:
    """A `TurnStore`, and `Movable`."""

    def __init__(self) -> None:
        self._nodes: dict[_Key, _Node] = {}
        self._children: dict[_Key, list[_Key]] = defaultdict(list)
        # By turn and model.
        self._summaries: dict[tuple[_Key, str], Summary] = {}
        self._conversations: dict[_Key, StoredConversation] = {}
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
            summary = self._summaries.get((node.key, model))
            if summary or (node.turn and compacts(node.turn)):
                break
        root, first = self._nodes[leaf.root], nodes[-1]
        return Path(
            turns=[_past(node.turn) for node in reversed(nodes) if node.turn],
            summary=summary,
            root=_past(root.turn, with_ids=root is first) if root.turn else None,
            cut=first.parent is not None
            and summary is None
            and not (first.turn and compacts(first.turn)),
            erasures_above=leaf.erasures,
        )

    async def add(self, turn: Turn) -> bool:
        key = _key(turn.scope, turn.id)
        if key in self._nodes:
            return True
        if turn.conversation_id:
            self._move(turn)
        if not turn.parent_id:
            self._put(_Node(key, None, key, characters(turn), erasures=0, turn=turn))
            return True
        parent = self._nodes.get(_key(turn.scope, turn.parent_id))
        if parent is None or parent.turn is None:
            return False
        chars = parent.chars + characters(turn)
        self._put(_Node(key, parent.key, parent.root, chars, parent.erasures, turn))
        self._children[parent.key].append(key)
        return True

    def _move(self, turn: Turn) -> None:
        """The conversation's head is never an erased turn, so what follows this does not fail."""
        key = _key(turn.scope, turn.conversation_id)
        conversation = self._conversations.get(key)
        if conversation is None:
            raise ConversationGone
        if conversation.head != turn.parent_id:
            raise HeadMoved
        self._conversations[key] = replace(conversation, head=turn.id)

    def _put(self, node: _Node) -> None:
        turn = node.turn
        assert turn
        if turn.kept_ids and not self._may_keep(node, turn, turn.kept_ids):
            turn = replace(turn, kept_ids=None)
        if node.erasures > turn.erasures_above:
            turn = uncompacted(turn)
        self._nodes[node.key] = replace(node, turn=replace(turn, erasures_above=0))

    def _may_keep(self, node: _Node, turn: Turn, kept: KeptIds) -> bool:
        read = (_key(turn.scope, fact_id) for fact_id in kept.fact_ids)
        erased_later = any(self._erased_facts.get(fact, 0) > kept.erasures_known for fact in read)
        if node.erasures or erased_later:
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
        if node is None or node.turn is None or self._begins_conversation(node):
            return False
        self._erased_at(replace(node, turn=None))
        for key, conversation in self._conversations.items():
            if key[:2] == node.key[:2] and conversation.head == turn_id:
                above = next(each for each in self._upwards(node) if self._nodes[each.key].turn)
                self._conversations[key] = replace(conversation, head=above.key[2])
        return True

    async def erase_item(self, scope: Scope, turn_id: str, item_id: str) -> bool:
        node = self._nodes.get(_key(scope, turn_id))
        turn = node.turn and without_item(node.turn, item_id) if node else None
        if node is None or turn is None:
            return False
        self._erased_at(replace(node, turn=turn))
        return True

    def _erased_at(self, changed: _Node) -> None:
        """The node without what was erased, and all below it without what may hold its words."""
        self._nodes[changed.key] = changed
        below = {*self._downwards(changed.key)}
        self._drop_kept_ids(below)
        for key in below:
            node = self._nodes[key]
            turn = node.turn and uncompacted(node.turn)
            self._nodes[key] = replace(node, turn=turn, erasures=node.erasures + 1)
        for summarised in [*self._summaries]:
            if summarised[0] in below:
                del self._summaries[summarised]

    async def erase_tree(self, scope: Scope, conversation_id: str) -> bool:
        conversation = self._conversations.pop(_key(scope, conversation_id), None)
        if conversation is None:
            return False
        head = self._nodes[_key(scope, conversation.head)]
        root = self._nodes[head.root]
        for key in {*self._downwards(root.key)}:
            self._nodes[key] = replace(self._nodes[key], turn=None)
        self._erased_at(replace(root, turn=None))
        return True

    def _begins_conversation(self, node: _Node) -> bool:
        heads = (
            self._nodes[(*key[:2], conversation.head)]
            for key, conversation in self._conversations.items()
            if key[:2] == node.key[:2]
        )
        return node.parent is None and any(head.root == node.key for head in heads)

    async def start(self, conversation: StoredConversation, first: Turn) -> None:
        root = _key(first.scope, first.id)
        if root not in self._nodes:
            self._put(_Node(root, None, root, characters(first), erasures=0, turn=first))
            self._conversations[_key(conversation.scope, conversation.id)] = conversation

    async def conversation(self, scope: Scope, conversation_id: str) -> StoredConversation | None:
        return self._conversations.get(_key(scope, conversation_id))

    async def conversations(
        self, scope: Scope, paging: Paging
    ) -> Sequence[StoredConversation] | None:
        place = (scope.organisation, scope.project)
        ours = [each for key, each in self._conversations.items() if key[:2] == place]
        ours.sort(key=_age, reverse=paging.newest_first)
        if paging.after:
            known = [each.id for each in ours]
            if paging.after not in known:
                return None
            ours = ours[known.index(paging.after) + 1 :]
        return ours[: paging.limit]

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        key = _key(scope, conversation_id)
        if key not in self._conversations:
            return None
        changed = replace(self._conversations[key], metadata=dict(metadata))
        self._conversations[key] = changed
        return changed

    async def stretch(self, scope: Scope, turn_id: str, most: int) -> Stretch:
        start = self._nodes.get(_key(scope, turn_id))
        if start is None:
            return Stretch((), "")
        nodes = [*islice(self._upwards(start), most)]
        turns = [_past(node.turn, with_ids=False) for node in reversed(nodes) if node.turn]
        above = nodes[-1].parent
        return Stretch(turns, above[2] if above else "")

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

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return page_of_list(self._all(kind), start, limit)

    def _all(self, kind: type) -> Sequence[Any]:
        if kind is TurnRecord:
            return [self._turn_record(node) for node in self._nodes.values()]
        if kind is ConversationRecord:
            heads = ((key, each.head) for key, each in self._conversations.items())
            roots = (self._nodes[(*key[:2], head)].root[2] for key, head in heads)
            return [*map(ConversationRecord, self._conversations.values(), roots)]
        if kind is ErasedFactRecord:
            return [ErasedFactRecord(*key, number) for key, number in self._erased_facts.items()]
        return [HandledRecord(self._erasures_handled)] if self._erasures_handled else []

    def _turn_record(self, node: _Node) -> TurnRecord:
        return TurnRecord(
            *node.key,
            parent_id=node.parent[2] if node.parent else "",
            root_id=node.root[2],
            chars=node.chars,
            erasures=node.erasures,
            turn=node.turn,
            summaries={
                model: summary
                for (key, model), summary in self._summaries.items()
                if key == node.key
            },
        )

    async def put_records(self, records: Sequence[Any]) -> None:
        for record in records:
            match record:
                case TurnRecord():
                    self._put_turn(record)
                case ConversationRecord(conversation):
                    self._conversations[_key(conversation.scope, conversation.id)] = conversation
                case ErasedFactRecord():
                    fact = (record.organisation, record.project, record.fact_id)
                    self._erased_facts[fact] = record.number
                case HandledRecord(number):
                    self._erasures_handled = number

    def _put_turn(self, record: TurnRecord) -> None:
        place = (record.organisation, record.project)
        key = (*place, record.id)
        parent = (*place, record.parent_id) if record.parent_id else None
        if parent and key not in self._nodes:
            self._children[parent].append(key)
        root = (*place, record.root_id)
        self._nodes[key] = _Node(key, parent, root, record.chars, record.erasures, record.turn)
        for summarised in [each for each in self._summaries if each[0] == key]:
            del self._summaries[summarised]
        self._summaries |= {(key, model): each for model, each in record.summaries.items()}

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


def _age(conversation: StoredConversation) -> tuple[int, str]:
    return conversation.created_at_ms, conversation.id


def _past(turn: Turn, *, with_ids: bool = True) -> PastTurn:
    kept = turn.kept_ids if with_ids else None
    return PastTurn(turn.id, turn.input, turn.output, turn.memory_ids, kept)
