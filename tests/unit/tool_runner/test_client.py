"""What a caller hears of a tool whose runner is lost."""

import asyncio
from contextlib import AsyncExitStack

from services.shared.scope import Scope
from services.shared.server import serving
from services.shared.tools import ToolCall
from services.tool_runner.api import Failure
from services.tool_runner.client import connect_tool_runner
from services.tool_runner.runner import Runner, ToolLimits
from services.tool_runner.server import ToolRunnerServer
from tests.fakes.tool_runner import WaitingTool, words

ANN = Scope("acme", "main", "ann")
WAIT = ToolCall("call_1", "wait", "{}")
LIMITS = ToolLimits(timeout_seconds=30, max_arguments_chars=1000, max_output_chars=200)


async def test_a_runner_that_is_lost_is_an_outcome_and_the_turn_goes_on() -> None:
    """The model is told that nobody knows, as the tool may have had an effect."""
    tool = WaitingTool()
    runner = Runner([(tool, LIMITS)])
    async with AsyncExitStack() as server, AsyncExitStack() as stack:
        port = await server.enter_async_context(
            serving([ToolRunnerServer(runner)], "localhost:0", grace=0)
        )
        client = await stack.enter_async_context(
            connect_tool_runner(f"localhost:{port}", timeout=20)
        )
        running = asyncio.create_task(client.run(ANN, WAIT))
        await asyncio.wait_for(tool.started.wait(), 5)
        await server.aclose()
        outcome = await running
        assert outcome.failure is Failure.UNREACHABLE
        assert "not known" in words(outcome)
