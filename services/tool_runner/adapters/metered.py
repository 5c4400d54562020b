"""Counts and times the calls of tools, by tool and outcome."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.shared.metrics import LATENCY_BUCKETS
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.tool_runner.api import Outcome, ToolRunner, UnknownTool

# The label of names that a model has made up; there is no end of them.
_UNKNOWN = "unknown"


class MeteredToolRunner:
    """A `ToolRunner` with metrics."""

    def __init__(
        self, tool_runner: ToolRunner, names: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._tool_runner = tool_runner
        self._names = frozenset(names)
        self._calls = Counter(
            "chatmesh_tool_runner_calls", "Calls ended.", ["tool", "outcome"], registry=registry
        )
        self._seconds = Histogram(
            "chatmesh_tool_runner_seconds",
            "Time that a tool took.",
            ["tool"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._running = Gauge(
            "chatmesh_tool_runner_running", "Calls now running.", ["tool"], registry=registry
        )

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        return await self._tool_runner.list_tools(scope)

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        with self._counted(call.name if call.name in self._names else _UNKNOWN) as counted:
            outcome = await self._tool_runner.run(scope, call)
            counted.ended = outcome.failure.value if outcome.failure else "ok"
            return outcome

    @contextmanager
    def _counted(self, tool: str) -> Iterator["_CountedCall"]:
        call = _CountedCall()
        started = time.perf_counter()
        self._running.labels(tool).inc()
        try:
            yield call
        except UnknownTool:
            call.ended = "unknown_tool"
            raise
        except asyncio.CancelledError:
            call.ended = "cancelled"
            raise
        finally:
            self._running.labels(tool).dec()
            self._calls.labels(tool, call.ended).inc()
            self._seconds.labels(tool).observe(time.perf_counter() - started)


class _CountedCall:
    """How one call ends. Whatever says nothing else was a bug."""

    ended = "bug"
