"""Facts in this process alone; they end with it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.memory.api import Erasure
from services.memory.ports import (
    EmbeddedFact,
    FactRecord,
    Outdated,
    RevisionsRecord,
    ScopeFacts,
    ScopeRecord,
    from_half_precision,
    half_precision,
)
from services.shared.moving import Page, Record, page_of_list
from services.shared.scope import Scope


class InMemoryFactStore:
    """A `FactStore`, and `Movable`."""

    def __init__(self) -> None:
        self._scopes: dict[Scope, ScopeFacts] = {}
        self._last_revision = 0
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
        self._last_revision += 1
        written = ScopeFacts(self._last_revision, [after[fact_id] for fact_id in sorted(after)])
        self._scopes[scope] = written
        return written.revision

    async def erase(self, scope: Scope) -> int:
        erased = [each.fact.id for each in self._scopes.pop(scope, ScopeFacts()).embedded]
        self._note(scope, erased)
        return len(erased)

    async def erasures(self, after: int, limit: int) -> Sequence[Erasure]:
        return self._log[after : after + limit]

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return page_of_list(self._all(kind), start, limit)

    def _all(self, kind: type) -> Sequence[Any]:
        if kind is ScopeRecord:
            return [ScopeRecord(scope, held.revision) for scope, held in self._scopes.items()]
        if kind is FactRecord:
            return [
                FactRecord(scope, each.fact, half_precision(each.vector))
                for scope, held in self._scopes.items()
                for each in held.embedded
            ]
        if kind is Erasure:
            return self._log
        return [RevisionsRecord(self._last_revision)] if self._last_revision else []

    async def put_records(self, records: Sequence[Any]) -> None:
        for record in records:
            match record:
                case ScopeRecord(scope, revision):
                    held = self._scopes.get(scope, ScopeFacts())
                    self._scopes[scope] = replace(held, revision=revision)
                case FactRecord():
                    self._put_fact(record)
                case Erasure():
                    known = [each for each in self._log if each.number != record.number]
                    self._log = sorted([*known, record], key=lambda each: each.number)
                case RevisionsRecord(last):
                    self._last_revision = last

    def _put_fact(self, record: FactRecord) -> None:
        held = self._scopes.get(record.scope, ScopeFacts())
        facts = {each.fact.id: each for each in held.embedded}
        vector = from_half_precision(record.vector)
        facts[record.fact.id] = EmbeddedFact(record.fact, vector)
        embedded = [facts[fact_id] for fact_id in sorted(facts)]
        self._scopes[record.scope] = replace(held, embedded=embedded)

    def _note(self, scope: Scope, fact_ids: Sequence[str]) -> None:
        if fact_ids:
            self._log.append(Erasure(len(self._log) + 1, scope, tuple(fact_ids)))
