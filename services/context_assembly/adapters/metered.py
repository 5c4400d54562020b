"""What assembling a context consists of, counted and timed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.context_assembly.api import Model, Turn
from services.context_assembly.ports import (
    Memory,
    Path,
    Summariser,
    Summary,
    SummaryFailed,
    Tokenizer,
    TurnStore,
)
from services.memory.api import Recollection
from services.shared.chat import Scope
from services.shared.errors import MeshError
from services.shared.metrics import LATENCY_BUCKETS
from services.tokenizer.api import FitRequest, Fitted


class Steps:
    """How long each step takes; the whole is `chatmesh_rpc_seconds` of Assemble."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "chatmesh_context_assembly_step_seconds",
            "Time that a step of an assembly or a record took, failed ones too.",
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
    """A `TurnStore` that is watched."""

    def __init__(self, turns: TurnStore, steps: Steps, registry: CollectorRegistry) -> None:
        self._turns = turns
        self._steps = steps
        self._reused = Counter(
            "chatmesh_context_assembly_summaries_reused",
            "Paths that began with a summary made earlier.",
            registry=registry,
        )

    async def path(self, tenant: str, turn_id: str, model: str, max_chars: int) -> Path | None:
        with self._steps.timed("read"):
            path = await self._turns.path(tenant, turn_id, model, max_chars)
        if path and path.summary:
            self._reused.inc()
        return path

    async def add(self, turn: Turn) -> bool:
        with self._steps.timed("write"):
            return await self._turns.add(turn)

    async def get(self, tenant: str, turn_id: str) -> Turn | None:
        return await self._turns.get(tenant, turn_id)

    async def erase(self, tenant: str, turn_id: str) -> bool:
        return await self._turns.erase(tenant, turn_id)

    async def keep_summary(
        self,
        tenant: str,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        return await self._turns.keep_summary(
            tenant, model, summary, covers=covers, grown_from=grown_from
        )


class MeteredMemory:
    """A `Memory` that is watched."""

    def __init__(self, memory: Memory, steps: Steps, registry: CollectorRegistry) -> None:
        self._memory = memory
        self._steps = steps
        self._failures = Counter(
            "chatmesh_context_assembly_memory_failures",
            "Turns that went on without memories.",
            registry=registry,
        )

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        with self._steps.timed("recall"):
            try:
                return await self._memory.recall(scope, query=query, fact_ids=fact_ids)
            except MeshError:
                self._failures.inc()
                raise


class MeteredTokenizer:
    """A `Tokenizer` that is watched."""

    def __init__(self, tokenizer: Tokenizer, steps: Steps, registry: CollectorRegistry) -> None:
        self._tokenizer = tokenizer
        self._steps = steps
        self._dropped = Counter(
            "chatmesh_context_assembly_dropped_exchanges",
            "Exchanges that did not fit into a window.",
            registry=registry,
        )

    async def fit(self, request: FitRequest) -> Fitted:
        with self._steps.timed("fit"):
            fitted = await self._tokenizer.fit(request)
        self._dropped.inc(fitted.dropped_through_unit)
        return fitted


class MeteredSummariser:
    """A `Summariser` that is watched."""

    def __init__(self, summariser: Summariser, steps: Steps, registry: CollectorRegistry) -> None:
        self._summariser = summariser
        self._steps = steps
        self._summaries = Counter(
            "chatmesh_context_assembly_summaries",
            "Summaries asked of a model.",
            ["outcome"],
            registry=registry,
        )

    async def summarise(self, model: Model, tenant: str, earlier: str, transcript: str) -> str:
        with self._steps.timed("summarise"):
            try:
                text = await self._summariser.summarise(model, tenant, earlier, transcript)
            except SummaryFailed:
                self._summaries.labels("failed").inc()
                raise
        self._summaries.labels("made").inc()
        return text
