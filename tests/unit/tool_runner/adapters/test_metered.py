import asyncio

import pytest
from prometheus_client import CollectorRegistry

from services.shared.scope import Scope
from services.shared.tools import ToolCall
from services.tool_runner.adapters.metered import MeteredToolRunner
from services.tool_runner.api import UnknownTool
from services.tool_runner.ports import Arguments, Declaration
from services.tool_runner.runner import Runner, ToolLimits
from tests.fakes.tool_runner import EchoTool, WaitingTool

SCOPE = Scope("acme", "main", "ann")
LIMITS = ToolLimits(timeout_seconds=5, max_arguments_chars=100, max_output_chars=100)


class BrokenTool:
    declaration = Declaration("broken", "Break.", {})

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        raise LookupError("a bug")


class Meter:
    """A metered runner, and what its metrics say."""

    def __init__(self) -> None:
        self.waiting = WaitingTool()
        tools = (EchoTool(), self.waiting, BrokenTool())
        self._registry = CollectorRegistry()
        self._runner = MeteredToolRunner(
            Runner([(tool, LIMITS) for tool in tools]), ["echo", "wait", "broken"], self._registry
        )

    async def run(self, name: str, arguments: str = "{}") -> None:
        await self._runner.run(SCOPE, ToolCall("call_1", name, arguments))

    def calls(self, tool: str, outcome: str) -> float | None:
        labels = {"tool": tool, "outcome": outcome}
        return self._registry.get_sample_value("chatmesh_tool_runner_calls_total", labels)

    def running(self, tool: str) -> float | None:
        return self._registry.get_sample_value("chatmesh_tool_runner_running", {"tool": tool})

    def timed(self, tool: str) -> float | None:
        labels = {"tool": tool}
        return self._registry.get_sample_value("chatmesh_tool_runner_seconds_count", labels)


async def test_counts_calls_by_outcome() -> None:
    meter = Meter()
    await meter.run("echo", '{"text": "a"}')
    await meter.run("echo", '{"text": "b"}')
    await meter.run("echo")
    assert meter.calls("echo", "ok") == 2
    assert meter.calls("echo", "invalid_arguments") == 1
    assert meter.timed("echo") == 3


async def test_a_made_up_name_makes_no_label() -> None:
    meter = Meter()
    with pytest.raises(UnknownTool):
        await meter.run("made-up")
    assert meter.calls("unknown", "unknown_tool") == 1
    assert meter.calls("made-up", "unknown_tool") is None


async def test_a_bug_is_counted_and_goes_on() -> None:
    meter = Meter()
    with pytest.raises(LookupError):
        await meter.run("broken")
    assert meter.calls("broken", "bug") == 1
    assert meter.running("broken") == 0


async def test_knows_what_runs_and_what_was_cancelled() -> None:
    meter = Meter()
    call = asyncio.create_task(meter.run("wait"))
    await asyncio.wait_for(meter.waiting.started.wait(), 5)
    assert meter.running("wait") == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert meter.running("wait") == 0
    assert meter.calls("wait", "cancelled") == 1
