"""Metrics of what assembling a context consists of, one class around each port."""

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.context_assembly.api import Model, Paging, StoredConversation, Turn
from services.context_assembly.ports import (
    Memory,
    Path,
    Stretch,
    Summariser,
    Summary,
    SummaryFailed,
    Tokenizer,
    TurnStore,
    Written,
)
from services.memory.api import Erasure, Recollection
from services.shared.errors import MeshError
from services.shared.metrics import LATENCY_BUCKETS
from services.shared.scope import Scope
from services.tokenizer.api import FitRequest, Fitted


class StepTimer:
    """Measures how long each step of an assembly, a record or an erasure takes.

    How long a whole assembly takes is told by `chatmesh_rpc_seconds`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "chatmesh_context_assembly_step_seconds",
            "Time that a step of an assembly, a record or an erasure took, failed ones too.",
            ["step"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds.labels(step).observe(time.perf_counter() - started)


class MeteredTurns:
    """A `TurnStore` that times what it does and counts reused summaries."""

    def __init__(self, turns: TurnStore, timer: StepTimer, registry: CollectorRegistry) -> None:
        self._turns = turns
        self._timer = timer
        self._reused = Counter(
            "chatmesh_context_assembly_summaries_reused",
            "Paths that began with a summary made earlier.",
            registry=registry,
        )

    async def path(self, scope: Scope, turn_id: str, model: str, max_chars: int) -> Path | None:
        with self._timer.timed("read"):
            path = await self._turns.path(scope, turn_id, model, max_chars)
        if path and path.summary:
            self._reused.inc()
        return path

    async def add(self, turn: Turn) -> bool:
        with self._timer.timed("write"):
            return await self._turns.add(turn)

    async def get(self, scope: Scope, turn_id: str) -> Turn | None:
        return await self._turns.get(scope, turn_id)

    async def erase(self, scope: Scope, turn_id: str) -> bool:
        return await self._turns.erase(scope, turn_id)

    async def erase_item(self, scope: Scope, turn_id: str, item_id: str) -> bool:
        return await self._turns.erase_item(scope, turn_id, item_id)

    async def erase_tree(self, scope: Scope, conversation_id: str) -> bool:
        return await self._turns.erase_tree(scope, conversation_id)

    async def start(self, conversation: StoredConversation, first: Turn) -> None:
        with self._timer.timed("write"):
            await self._turns.start(conversation, first)

    async def conversation(self, scope: Scope, conversation_id: str) -> StoredConversation | None:
        return await self._turns.conversation(scope, conversation_id)

    async def conversations(
        self, scope: Scope, paging: Paging
    ) -> Sequence[StoredConversation] | None:
        return await self._turns.conversations(scope, paging)

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        return await self._turns.set_metadata(scope, conversation_id, metadata)

    async def stretch(self, scope: Scope, turn_id: str, most: int) -> Stretch:
        return await self._turns.stretch(scope, turn_id, most)

    async def keep_summary(
        self,
        scope: Scope,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        return await self._turns.keep_summary(
            scope, model, summary, covers=covers, grown_from=grown_from
        )

    async def forget_facts(self, erasure: Erasure) -> None:
        with self._timer.timed("forget"):
            await self._turns.forget_facts(erasure)

    async def erasures_handled(self) -> int:
        return await self._turns.erasures_handled()


class MeteredMemory:
    """A `Memory` that times recalls and counts those that failed."""

    def __init__(self, memory: Memory, timer: StepTimer, registry: CollectorRegistry) -> None:
        self._memory = memory
        self._timer = timer
        self._failures = Counter(
            "chatmesh_context_assembly_memory_failures",
            "Turns that went on without memories.",
            registry=registry,
        )

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        with self._timer.timed("recall"):
            try:
                return await self._memory.recall(scope, query=query, fact_ids=fact_ids)
            except MeshError:
                self._failures.inc()
                raise

    def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
        return self._memory.watch_erased(after)


class MeteredTokenizer:
    """A `Tokenizer` that times fitting and counts what did not fit."""

    def __init__(self, tokenizer: Tokenizer, timer: StepTimer, registry: CollectorRegistry) -> None:
        self._tokenizer = tokenizer
        self._timer = timer
        self._dropped = Counter(
            "chatmesh_context_assembly_dropped_exchanges",
            "Exchanges that did not fit into a window.",
            registry=registry,
        )

    async def fit(self, request: FitRequest) -> Fitted:
        with self._timer.timed("fit"):
            fitted = await self._tokenizer.fit(request)
        self._dropped.inc(fitted.dropped_through_unit)
        return fitted


class MeteredSummariser:
    """A `Summariser` that times and counts its summaries."""

    def __init__(
        self, summariser: Summariser, timer: StepTimer, registry: CollectorRegistry
    ) -> None:
        self._summariser = summariser
        self._timer = timer
        self._summaries = Counter(
            "chatmesh_context_assembly_summaries",
            "Summaries asked of a model.",
            ["outcome"],
            registry=registry,
        )

    async def summarise(self, model: Model, scope: Scope, earlier: str, transcript: str) -> str:
        with self._counted():
            return await self._summariser.summarise(model, scope, earlier, transcript)

    async def summarise_whole(
        self, model: Model, scope: Scope, earlier: str, transcript: str
    ) -> Written:
        with self._counted():
            return await self._summariser.summarise_whole(model, scope, earlier, transcript)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._timer.timed("summarise"):
            try:
                yield
            except SummaryFailed:
                self._summaries.labels("failed").inc()
                raise
        self._summaries.labels("made").inc()
