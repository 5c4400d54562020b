"""Counts what is screened, with which result, and how long the second stage takes."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.moderation.api import Direction, Grown, Moderation, Release, Verdict
from services.moderation.ports import FirstStage, Scores, WindowScorer
from services.shared.metrics import LATENCY_BUCKETS


class MeteredModeration:
    """A `Moderation` that counts what another one does."""

    def __init__(self, moderation: Moderation, registry: CollectorRegistry) -> None:
        self._moderation = moderation
        self._texts = Counter(
            "chatmesh_moderation_texts",
            "Texts screened whole, by what came of them and what blocked them.",
            ["direction", "action", "category"],
            registry=registry,
        )
        self._releases = Counter(
            "chatmesh_moderation_releases",
            "Answers about growing replies, by what blocked them; empty: nothing did.",
            ["category"],
            registry=registry,
        )

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        verdicts = await self._moderation.screen(texts, direction)
        for verdict in verdicts:
            self._texts.labels(direction.value, verdict.action.value, verdict.category).inc()
        return verdicts

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        async with aclosing(self._moderation.watch(reply)) as releases:
            async for release in releases:
                self._releases.labels(release.blocked_by).inc()
                yield release


class MeteredFirstStage:
    """A `FirstStage` that counts the windows of another one."""

    def __init__(self, stage: FirstStage, registry: CollectorRegistry) -> None:
        self._stage = stage
        self._windows = Counter(
            "chatmesh_moderation_windows", "Windows scored by the first stage.", registry=registry
        )

    def score(self, windows: Sequence[str]) -> Scores:
        self._windows.inc(len(windows))
        return self._stage.score(windows)


class MeteredSecondStage:
    """A `WindowScorer` that counts and times another one."""

    def __init__(self, stage: WindowScorer, registry: CollectorRegistry) -> None:
        self._stage = stage
        self._windows = Counter(
            "chatmesh_moderation_doubtful_windows",
            "Windows that the first stage did not clear.",
            registry=registry,
        )
        self._seconds = Histogram(
            "chatmesh_moderation_second_stage_seconds",
            "Time that the second stage took for the windows of one call.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )

    async def score(self, windows: Sequence[str]) -> Scores:
        self._windows.inc(len(windows))
        started = time.perf_counter()
        scores = await self._stage.score(windows)
        self._seconds.observe(time.perf_counter() - started)
        return scores
