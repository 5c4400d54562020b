"""Facts in this process alone; they end with it."""

from collections.abc import Sequence
from itertools import count

from services.memory.api import Erasure
from services.memory.ports import EmbeddedFact, Outdated, ScopeFacts
from services.shared.scope import Scope


class InMemoryFactStore:
    def __init__(self) -> None:
        self._scopes: dict[Scope, ScopeFacts] = {}
        self._revisions = count(1)
        self._log: list[Erasure] = []

    async def revision(self, scope: Scope) -> int:
        return self._scopes.get(scope, ScopeFacts()).revision

    async def read(self, scope: Scope) -> ScopeFacts:
        return self._scopes.get(scope, ScopeFacts())

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[EmbeddedFact], drop: Sequence[str]
    ) -> int:
        before = self._scopes.get(scope, ScopeFacts())
        if before.revision != revision:
            raise Outdated
        after = {each.fact.id: each for each in before.embedded if each.fact.id not in drop}
        after |= {each.fact.id: each for each in keep}
        texts = {fact_id: each.fact.text for fact_id, each in after.items()}
        self._note(
            scope, [e.fact.id for e in before.embedded if texts.get(e.fact.id) != e.fact.text]
        )
        if not after:
            self._scopes.pop(scope, None)
            return 0
        written = ScopeFacts(next(self._revisions), [after[fact_id] for fact_id in sorted(after)])
        self._scopes[scope] = written
        return written.revision

    async def erase(self, scope: Scope) -> int:
        erased = [each.fact.id for each in self._scopes.pop(scope, ScopeFacts()).embedded]
        self._note(scope, erased)
        return len(erased)

    async def erasures(self, after: int, limit: int) -> Sequence[Erasure]:
        return self._log[after : after + limit]

    def _note(self, scope: Scope, fact_ids: Sequence[str]) -> None:
        if fact_ids:
            self._log.append(Erasure(len(self._log) + 1, scope, tuple(fact_ids)))
