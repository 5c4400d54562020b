"""`calculator`: arithmetic, for models that are bad at it."""

import asyncio

from services.shared.scope import Scope
from services.tool_runner.ports import Arguments, Declaration
from services.tool_runner.tools.arithmetic import evaluate
from services.tool_runner.tools.numbers import written

# An expression of this length takes less than a millisecond; a longer one gets a thread.
_BRIEF_CHARS = 100


class Calculator:
    declaration = Declaration(
        name="calculator",
        description="Evaluate an arithmetic expression.",
        parameters={
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    )

    async def run(self, _: Scope, arguments: Arguments) -> str:
        expression = arguments["expression"]
        if len(expression) <= _BRIEF_CHARS:
            return _calculated(expression)
        return await asyncio.to_thread(_calculated, expression)


def _calculated(expression: str) -> str:
    return written(evaluate(expression))
