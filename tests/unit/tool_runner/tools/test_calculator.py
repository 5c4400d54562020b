import asyncio

import pytest

from services.shared.scope import Scope
from services.tool_runner.ports import ToolFailed
from services.tool_runner.tools.calculator import Calculator

SCOPE = Scope("acme", "main")


async def test_calculates() -> None:
    assert await Calculator().run(SCOPE, {"expression": "15% of 80"}) == "12"


async def test_a_long_sum_is_calculated_while_the_loop_goes_on() -> None:
    turns: list[str] = []

    async def calculate() -> None:
        assert await Calculator().run(SCOPE, {"expression": "1+" * 400 + "1"}) == "401"
        turns.append("calculated")

    async def go_on() -> None:
        turns.append("went on")

    await asyncio.gather(calculate(), go_on())
    assert turns == ["went on", "calculated"]


async def test_says_why_not() -> None:
    with pytest.raises(ToolFailed, match="division by zero"):
        await Calculator().run(SCOPE, {"expression": "1/0"})
