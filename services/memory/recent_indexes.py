"""Keeps in memory the indexes of the people who were asked about last."""

from collections import OrderedDict

from services.memory.index import Index
from services.memory.ports import FactStore, ScopeFacts
from services.shared.scope import Scope

_NOTHING = Index(ScopeFacts())


class RecentIndexes:
    """Holds at most `max_facts` facts; the index that was used longest ago is dropped first.

    An index is given out only while the store has the revision from which it was made.
    """

    def __init__(self, store: FactStore, *, max_facts: int) -> None:
        self._store = store
        self._max_facts = max_facts
        self._indexes: OrderedDict[Scope, Index] = OrderedDict()
        self._facts_held = 0
        # The latest reading of each scope that is under way.
        self._fetches: dict[Scope, object] = {}

    def __contains__(self, scope: Scope) -> bool:
        return scope in self._indexes

    async def index(self, scope: Scope) -> Index:
        """The scope's facts as the store has them now, whichever process wrote them."""
        revision = await self._store.revision(scope)
        if not revision:
            self.remove(scope)
            return _NOTHING
        found = self._indexes.get(scope)
        if found is None or found.revision != revision:
            return await self._fetched(scope)
        self._indexes.move_to_end(scope)
        return found

    def put(self, scope: Scope, index: Index) -> None:
        """Holds `index`, which a write has just made, in place of the scope's older one."""
        self.remove(scope)
        if index.revision:
            self._hold(scope, index)

    def remove(self, scope: Scope) -> None:
        # A reading that is under way may bring what is out of date: it will not be held.
        self._fetches.pop(scope, None)
        self._drop(scope)

    async def _fetched(self, scope: Scope) -> Index:
        fetch = self._fetches[scope] = object()
        try:
            index = Index(await self._store.read(scope))
            if self._fetches.get(scope) is fetch:
                self._drop(scope)
                self._hold(scope, index)
            return index
        finally:
            # Also where the reading failed, or the caller left.
            if self._fetches.get(scope) is fetch:
                del self._fetches[scope]

    def _hold(self, scope: Scope, index: Index) -> None:
        self._indexes[scope] = index
        self._facts_held += len(index)
        while self._facts_held > self._max_facts:
            self._drop(next(iter(self._indexes)))

    def _drop(self, scope: Scope) -> None:
        if index := self._indexes.pop(scope, None):
            self._facts_held -= len(index)
