"""How soon what one replica erases is gone from the answers of all others.

Three processes of memory and three of context-assembly, on one store. Each fact stands in the kept
ids of a turn; each conversation is read at every replica before it goes.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from loadtest.process import Process
from loadtest.processes import free_ports, wait_listening
from loadtest.report import progress, table
from loadtest.stores import SCOPE, stored_turn
from services.context_assembly.api import (
    ConversationNotFound,
    KeptIds,
    StoredConversation,
)
from services.context_assembly.client import ContextAssemblyClient, connect_context_assembly
from services.context_assembly.config import ContextAssemblyConfig
from services.context_assembly.wiring import SERVICE as CONTEXT_ASSEMBLY
from services.memory.client import MemoryClient, connect_memory
from services.memory.config import MemoryConfig
from services.memory.wiring import SERVICE as MEMORY
from services.shared.ids import first_turn_of, make_conversation_id
from services.shared.store_url import StoreUrl

Replica = TypeVar("Replica")
_REPLICAS = 3
_SECONDS = 30
_HEADER = ("what", "erased", "answers of", "p50", "p99", "longest")


@dataclass(slots=True)
class _Replicas:
    memory: Sequence[MemoryClient]
    context: Sequence[ContextAssemblyClient]


async def measured(url: str, folder: Path, *, times: int) -> str:
    assert MEMORY.migrate
    assert CONTEXT_ASSEMBLY.migrate
    await MEMORY.migrate(MemoryConfig(store_url=StoreUrl(url)))
    await CONTEXT_ASSEMBLY.migrate(ContextAssemblyConfig(turns_url=StoreUrl(url)))
    async with _replicas(url, folder) as replicas:
        told: list[tuple[float, float]] = []
        for number in range(times):
            told.append(await _fact(replicas, number))
            if not (number + 1) % 50:
                progress(f"erasures: {number + 1} of {times} facts")
        conversations = [await _conversation(replicas, number) for number in range(times)]
        facts, kept_ids = zip(*told, strict=True)
    rows = [
        ("a fact", times, "memory", *_shares(facts)),
        ("a fact", times, "context-assembly", *_shares(kept_ids)),
        ("a conversation", times, "context-assembly", *_shares(conversations)),
    ]
    scheme = StoreUrl(url).scheme
    title = f"Gone from all of {_REPLICAS} replicas on {scheme}, ms after the erasure was answered"
    return table(title, _HEADER, rows)


@asynccontextmanager
async def _replicas(url: str, folder: Path) -> AsyncIterator[_Replicas]:
    async with AsyncExitStack() as stack:
        memory: list[MemoryClient] = []
        context: list[ContextAssemblyClient] = []
        for number in range(_REPLICAS):
            address = _started(stack, folder, f"memory-{number}", {"STORE_URL": url})
            settings = {"TURNS_URL": url, "MEMORY_ADDRESS": address}
            own = _started(stack, folder, f"context_assembly-{number}", settings)
            remembering = connect_memory(address, timeout=_SECONDS)
            memory.append(await stack.enter_async_context(remembering))
            assembling = connect_context_assembly(own, timeout=_SECONDS)
            context.append(await stack.enter_async_context(assembling))
        yield _Replicas(memory, context)


def _started(stack: AsyncExitStack, folder: Path, name: str, settings: Mapping[str, str]) -> str:
    """Its address; it takes calls."""
    port, metrics_port = free_ports(2)
    service = name.partition("-")[0]
    where = {"ADDRESS": f"127.0.0.1:{port}", "METRICS_ADDRESS": f"127.0.0.1:{metrics_port}"}
    environment = {
        f"{service.upper()}_{key}": value for key, value in {**settings, **where}.items()
    }
    command = (sys.executable, "-m", f"services.{service}")
    process = Process(name, command, environment, folder / f"{name}.log")
    stack.callback(process.stop)
    process.start()
    wait_listening(process, port)
    return where["ADDRESS"]


async def _fact(replicas: _Replicas, number: int) -> tuple[float, float]:
    """Milliseconds until no memory finds it, and until no turn keeps ids of it."""
    text = f"my dog number {number} is called Rex"
    eraser = replicas.memory[number % _REPLICAS]
    fact = (await eraser.remember(SCOPE, text)).fact
    conversation_id = make_conversation_id()
    turn = stored_turn(first_turn_of(conversation_id), "", "", _now_ms())
    turn = replace(turn, kept_ids=KeptIds("m", 0, [1, 2, 3], [fact.id]))
    await replicas.context[0].record(turn)

    async def found(memory: MemoryClient) -> bool:
        matches = await memory.search(SCOPE, text, 10)
        return any(match.fact.id == fact.id for match in matches)

    async def kept(context: ContextAssemblyClient) -> bool:
        return (await context.get_turn(SCOPE, turn.id)).kept_ids is not None

    for memory, context in zip(replicas.memory, replicas.context, strict=True):
        assert await found(memory)
        assert await kept(context)
    await eraser.forget(SCOPE, fact_id=fact.id)
    began = time.perf_counter()
    gone = [_gone(began, found, memory) for memory in replicas.memory]
    lost = [_gone(began, kept, context) for context in replicas.context]
    after = await asyncio.gather(*gone, *lost)
    return max(after[:_REPLICAS]), max(after[_REPLICAS:])


async def _conversation(replicas: _Replicas, number: int) -> float:
    """Milliseconds until no replica knows it."""
    conversation_id, now = make_conversation_id(), _now_ms()
    first = stored_turn(first_turn_of(conversation_id), "", conversation_id, now)
    begun = StoredConversation(conversation_id, SCOPE, now, {}, first.id)
    eraser = replicas.context[number % _REPLICAS]
    await eraser.start_conversation(begun, first.input)

    async def known(context: ContextAssemblyClient) -> bool:
        try:
            await context.get_conversation(SCOPE, conversation_id)
        except ConversationNotFound:
            return False
        return True

    for context in replicas.context:
        assert await known(context)
    await eraser.delete_conversation(SCOPE, conversation_id)
    began = time.perf_counter()
    return max(await asyncio.gather(*(_gone(began, known, each) for each in replicas.context)))


async def _gone(
    began: float, there: Callable[[Replica], Awaitable[bool]], replica: Replica
) -> float:
    async with asyncio.timeout(_SECONDS):
        while await there(replica):  # noqa: ASYNC110 - another process tells nobody
            await asyncio.sleep(0.005)
    return 1000 * (time.perf_counter() - began)


def _shares(found: Sequence[float]) -> Sequence[float]:
    shares = statistics.quantiles(found, n=100, method="inclusive")
    return shares[49], shares[98], max(found)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
