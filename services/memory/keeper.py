"""Keeps each person's facts: one for each thing that is true now, none that was true before."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace

from services.memory.api import (
    Erasure,
    Fact,
    FactNotFound,
    FactTooLong,
    Kind,
    Match,
    MemoryFull,
    NobodyToRemember,
    Recollection,
    Remembered,
)
from services.memory.erasure_feed import ErasureFeed
from services.memory.forgetting import meant
from services.memory.index import Index
from services.memory.kinds import kind_of
from services.memory.ports import EmbeddedFact, Embedder, FactStore, Outdated, Vectors
from services.memory.recent_indexes import RecentIndexes
from services.memory.succession import Succession, succession, understood
from services.shared.errors import Malformed
from services.shared.scope import Scope

# With how many of the nearest facts a new one is compared.
_COMPARED = 64
# How many facts a recall finds at most.
_FOUND = 32
# Above this number of facts a search takes more than a millisecond, and is done in a thread.
_MANY = 100
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How much a person may have kept, and how much of it the model is shown."""

    fact_chars: int
    facts: int
    # Of a longer query, only half of this from its beginning and half from its end is used.
    query_chars: int
    found_chars: int
    preference_chars: int
    # A fact bears on a query if it scores at least this.
    relevance: float
    # And at least this share of the best fact's score.
    share_of_best: float


class Keeper:
    """The memory of all people. The store keeps it; here are only the indexes used last."""

    def __init__(
        self,
        store: FactStore,
        indexes: RecentIndexes,
        embedder: Embedder,
        erasures: ErasureFeed,
        *,
        limits: MemoryLimits,
        now_ms: Callable[[], int],
        make_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._embedder = embedder
        self._erasures = erasures
        self._limits = limits
        self._now_ms = now_ms
        self._make_id = make_id

    async def remember(self, scope: Scope, text: str, kind: Kind | None = None) -> Remembered:
        text = self._checked(scope, text)
        vector = await self._vector(text)
        while True:
            index = await self._indexes.index(scope)
            old = await asyncio.to_thread(_succeeded, index, text, vector)
            if not old and len(index) >= self._limits.facts:
                raise MemoryFull(f"{self._limits.facts} facts are kept, and there may be no more")
            fact = self._fact(text, kind or _kind(text, old), old)
            try:
                await self._write(scope, index, EmbeddedFact(fact, vector), drop=old[1:])
            except Outdated:
                continue
            return Remembered(fact, "; ".join(each.text for each in old if each.text != text))

    async def update(self, scope: Scope, fact_id: str, text: str) -> Fact:
        text = self._checked(scope, text)
        vector = await self._vector(text)
        while True:
            index = await self._indexes.index(scope)
            if fact_id not in index:
                raise FactNotFound("there is no such fact")
            old = index[fact_id].fact
            fact = self._fact(text, old.kind, [old])
            try:
                await self._write(scope, index, EmbeddedFact(fact, vector))
            except Outdated:
                continue
            return fact

    async def forget(self, scope: Scope, *, fact_id: str = "", query: str = "") -> Sequence[Fact]:
        self._check_person(scope)
        if not fact_id and not query.strip():
            raise Malformed("neither an id nor a query says what to forget", param="query")
        while True:
            index = await self._indexes.index(scope)
            gone = await self._meant(index, fact_id, query)
            try:
                if gone:
                    await self._write(scope, index, drop=gone)
            except Outdated:
                continue
            return gone

    async def list_facts(self, scope: Scope) -> Sequence[Fact]:
        self._check_person(scope)
        return _newest_first((await self._indexes.index(scope)).facts)

    async def search(self, scope: Scope, query: str, limit: int) -> Sequence[Match]:
        self._check_person(scope)
        if limit < 1:
            raise Malformed("limit is less than 1", param="limit")
        index = await self._indexes.index(scope)
        return await self._matches(index, query, limit)

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        self._check_person(scope)
        index = await self._indexes.index(scope)
        preferences = [fact for fact in index.facts if fact.kind is Kind.PREFERENCE]
        named = [index[fact_id].fact for fact_id in dict.fromkeys(fact_ids) if fact_id in index]
        # Preferences are shown anyway: a person who has nothing else is not searched.
        limit = len(preferences) + _FOUND if len(preferences) < len(index) else 0
        matches = await self._matches(index, query, limit)
        return Recollection(
            preferences=_within(_newest_first(preferences), self._limits.preference_chars),
            named=named,
            found=_within(self._bearing(matches), self._limits.found_chars),
        )

    async def erase(self, scope: Scope) -> int:
        self._check_person(scope)
        erased = await self._store.erase(scope)
        self._indexes.remove(scope)
        self._erasures.announce()
        return erased

    def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
        return self._erasures.watch(after)

    def _check_person(self, scope: Scope) -> None:
        if not scope.person:
            raise NobodyToRemember("the scope names no person")

    def _checked(self, scope: Scope, text: str) -> str:
        self._check_person(scope)
        # A fact is one line of what the model is shown.
        text = _CONTROLS.sub("", " ".join(text.split()))
        if not text:
            raise Malformed("the fact is empty", param="text")
        if len(text) > self._limits.fact_chars:
            raise FactTooLong(
                f"the fact has {len(text)} characters, it may have {self._limits.fact_chars}"
            )
        return text

    def _fact(self, text: str, kind: Kind, old: Sequence[Fact]) -> Fact:
        """A fact with this text: the oldest one of `old` changed, or a fact of its own."""
        now = self._now_ms()
        if old:
            return replace(old[0], text=text, kind=kind, updated_at_ms=now)
        return Fact(self._make_id(), text, kind, created_at_ms=now, updated_at_ms=now)

    async def _write(
        self, scope: Scope, index: Index, *keep: EmbeddedFact, drop: Sequence[Fact] = ()
    ) -> None:
        """Changes the facts that `index` has, in the store and then in the index that is held."""
        gone = [fact.id for fact in drop]
        revision = await self._store.write(scope, index.revision, keep=keep, drop=gone)
        self._indexes.put(scope, index.changed(revision, keep=keep, drop=gone))
        self._erasures.announce()

    async def _meant(self, index: Index, fact_id: str, query: str) -> Sequence[Fact]:
        if fact_id:
            return [index[fact_id].fact] if fact_id in index else []
        if not index:
            return []
        query = _cut(query, self._limits.query_chars)
        return await asyncio.to_thread(meant, query, index, await self._vector(query))

    async def _matches(self, index: Index, query: str, limit: int) -> Sequence[Match]:
        """The best facts for the query; embeds it only where there are facts to find."""
        if not index or not limit or not query.strip():
            return []
        query = _cut(query, self._limits.query_chars)
        vector = await self._vector(index.without_names(query))
        if len(index) <= _MANY:
            return index.search(query, vector, limit)
        return await asyncio.to_thread(index.search, query, vector, limit)

    def _bearing(self, matches: Sequence[Match]) -> Sequence[Fact]:
        """Those that score high enough, without the preferences, which are shown anyway."""
        if not matches:
            return []
        least = max(self._limits.relevance, self._limits.share_of_best * matches[0].score)
        return [
            match.fact
            for match in matches
            if match.score >= least and match.fact.kind is not Kind.PREFERENCE
        ]

    async def _vector(self, text: str) -> Vectors:
        vector: Vectors = (await self._embedder.embed([text]))[0]
        return vector


def _kind(text: str, old: Sequence[Fact]) -> Kind:
    """A fact that takes the place of a preference is a preference, too."""
    return Kind.PREFERENCE if any(each.kind is Kind.PREFERENCE for each in old) else kind_of(text)


def _succeeded(index: Index, text: str, vector: Vectors) -> list[Fact]:
    """The facts whose place a new one takes, oldest first."""
    if not index:
        return []
    new = understood(text)
    old = [
        fact
        for fact in index.nearest(vector, _COMPARED)
        if succession(new, understood(fact.text)) is not Succession.OTHER
    ]
    return sorted(old, key=lambda fact: fact.created_at_ms)


def _within(facts: Sequence[Fact], chars: int) -> Sequence[Fact]:
    """The first facts, as many as fit into `chars` characters."""
    shown = []
    for fact in facts:
        chars -= len(fact.text)
        if chars < 0:
            break
        shown.append(fact)
    return shown


def _newest_first(facts: Sequence[Fact]) -> Sequence[Fact]:
    return sorted(facts, key=lambda fact: (fact.updated_at_ms, fact.id), reverse=True)


def _cut(query: str, chars: int) -> str:
    if len(query) <= chars:
        return query
    half = chars // 2
    return f"{query[:half]} {query[-half:]}"
