"""`remember` and `forget`: with these the model keeps facts for the person it talks with."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.memory.api import FactTooLong, MemoryFull
from services.shared.errors import DeadlineExceeded, MeshError, Unavailable
from services.shared.scope import Scope
from services.tool_runner.api import Failure
from services.tool_runner.ports import Arguments, Declaration, Memory, Permission, ToolFailed

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"fact": {"type": "string"}},
    "required": ["fact"],
}
_FAILURES: dict[type[MeshError], tuple[Failure, str]] = {
    FactTooLong: (Failure.INVALID_ARGUMENTS, "the fact is too long"),
    MemoryFull: (Failure.REFUSED, "the memory is full; something must be forgotten first"),
    Unavailable: (Failure.UNREACHABLE, "the memory cannot be reached"),
    DeadlineExceeded: (Failure.TIMED_OUT, "the memory took too long"),
}


class Remember:
    declaration = Declaration(
        name="remember",
        description="Keep a fact about the user for later conversations.",
        parameters=_PARAMETERS,
        permission=Permission.PEOPLE,
        writes_memory=True,
    )

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        with _in_plain_words():
            kept = await self._memory.remember(scope, _fact(arguments))
        instead = f" (instead of: {kept.replaced})" if kept.replaced else ""
        return f"Saved: {kept.fact.text}{instead}"


class Forget:
    declaration = Declaration(
        name="forget",
        description="Forget what is remembered about the user that matches.",
        parameters=_PARAMETERS,
        permission=Permission.PEOPLE,
        writes_memory=True,
    )

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        query = _fact(arguments)
        with _in_plain_words():
            forgotten = await self._memory.forget(scope, query=query)
        if not forgotten:
            return f"Nothing remembered matches: {query}"
        return "\n".join(f"Forgotten: {fact.text}" for fact in forgotten)


def _fact(arguments: Arguments) -> str:
    fact: str = arguments["fact"].strip()
    if not fact:
        raise ToolFailed(Failure.INVALID_ARGUMENTS, 'the argument "fact" is empty')
    return fact


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Raises an error of memory as `ToolFailed`, in words for the model."""
    try:
        yield
    except MeshError as error:
        failure, sentence = _FAILURES.get(type(error), (Failure.FAILED, "the memory failed"))
        raise ToolFailed(failure, sentence) from error
