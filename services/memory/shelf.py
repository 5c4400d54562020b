"""The indexes of those who were asked about last, never older than the store."""

from collections import OrderedDict

from services.memory.index import Index
from services.memory.ports import FactStore, Holding
from services.shared.chat import Scope

_NOTHING = Index(Holding())


class Shelf:
    """Keeps at most `max_facts` facts in memory, of those least recently used none."""

    def __init__(self, store: FactStore, *, max_facts: int) -> None:
        self._store = store
        self._max_facts = max_facts
        self._indexes: OrderedDict[Scope, Index] = OrderedDict()
        self._held = 0
        self._fetches: dict[Scope, object] = {}

    def __contains__(self, scope: Scope) -> bool:
        return scope in self._indexes

    async def index(self, scope: Scope) -> Index:
        """What is kept for the scope now, whichever replica wrote it."""
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
        """Shelves what a write has made of the scope's facts."""
        self.remove(scope)
        if index.revision:
            self._place(scope, index)

    def remove(self, scope: Scope) -> None:
        # What is being read now may already be out of date.
        self._fetches.pop(scope, None)
        self._take(scope)

    async def _fetched(self, scope: Scope) -> Index:
        fetch = self._fetches[scope] = object()
        index = Index(await self._store.read(scope))
        if self._fetches.get(scope) is fetch:
            self.remove(scope)
            self._place(scope, index)
        return index

    def _place(self, scope: Scope, index: Index) -> None:
        self._indexes[scope] = index
        self._held += len(index)
        while self._held > self._max_facts:
            self._take(next(iter(self._indexes)))

    def _take(self, scope: Scope) -> None:
        if index := self._indexes.pop(scope, None):
            self._held -= len(index)
