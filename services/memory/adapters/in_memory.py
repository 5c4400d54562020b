"""Facts in this process alone; what is kept ends with it."""

from collections.abc import Sequence
from itertools import count

from services.memory.ports import Holding, Kept, Outdated
from services.shared.chat import Scope


class InMemoryFactStore:
    def __init__(self) -> None:
        self._holdings: dict[Scope, Holding] = {}
        self._revisions = count(1)

    async def revision(self, scope: Scope) -> int:
        return self._holdings.get(scope, Holding()).revision

    async def read(self, scope: Scope) -> Holding:
        return self._holdings.get(scope, Holding())

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[Kept], drop: Sequence[str]
    ) -> int:
        holding = self._holdings.pop(scope, Holding())
        if holding.revision != revision:
            self._holdings[scope] = holding
            raise Outdated
        kept = {each.fact.id: each for each in (*holding.kept, *keep)}
        remaining = [kept[fact_id] for fact_id in sorted(kept) if fact_id not in drop]
        if not remaining:
            return 0
        self._holdings[scope] = Holding(next(self._revisions), remaining)
        return self._holdings[scope].revision

    async def erase(self, scope: Scope) -> int:
        return len(self._holdings.pop(scope, Holding()).kept)
