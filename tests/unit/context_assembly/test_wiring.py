import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import KeptIds
from services.context_assembly.client import connect_context_assembly
from services.context_assembly.config import ContextAssemblyConfig
from services.context_assembly.server import ContextAssemblyServer
from services.context_assembly.wiring import SERVICE, build
from services.memory.api import Erasure
from services.memory.server import MemoryServer
from services.shared.server import serving
from services.shared.store_url import StoreUrl
from tests.fakes.context_assembly import SCOPE, FactMemory, recorded


async def test_turns_outlive_the_process_in_a_file(tmp_path: Path) -> None:
    config = ContextAssemblyConfig(turns_url=StoreUrl(f"sqlite:{tmp_path}/turns.sqlite"))
    async with build(config, CollectorRegistry()) as servers:
        assert [server.name for server in servers] == [ContextAssemblyServer.name]
        async with (
            serving(servers, "localhost:0", grace=0) as port,
            connect_context_assembly(f"localhost:{port}", timeout=5) as client,
        ):
            await client.record(recorded("a"))
    async with (
        build(config, CollectorRegistry()) as servers,
        serving(servers, "localhost:0", grace=0) as port,
        connect_context_assembly(f"localhost:{port}", timeout=5) as client,
    ):
        assert await client.get_turn(SCOPE, "a") == recorded("a")


async def test_what_memory_erases_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = asyncio.Event()

    async def forget_facts(self: InMemoryTurns, erasure: Erasure) -> None:
        await forget(self, erasure)
        forgotten.set()

    forget = InMemoryTurns.forget_facts
    monkeypatch.setattr(InMemoryTurns, "forget_facts", forget_facts)
    memory = FactMemory()
    memory.erasures.append(Erasure(1, SCOPE, ["m1"]))
    turn = recorded("a", kept_ids=KeptIds("plain", 0, [1, 2], ["m1"]))
    async with serving([MemoryServer(memory)], "localhost:0", grace=0) as remembering:  # type: ignore[arg-type]
        config = ContextAssemblyConfig(
            turns_url=StoreUrl("memory:"), memory_address=f"localhost:{remembering}"
        )
        async with (
            build(config, CollectorRegistry()) as servers,
            serving(servers, "localhost:0", grace=0) as port,
            connect_context_assembly(f"localhost:{port}", timeout=5) as client,
        ):
            await client.record(turn)
            await asyncio.wait_for(forgotten.wait(), 10)
            assert await client.get_turn(SCOPE, "a") == replace(turn, kept_ids=None)


async def test_conversations_in_memory_are_warned_of() -> None:
    with capture_logs() as logs:
        async with build(ContextAssemblyConfig(turns_url=StoreUrl("memory:")), CollectorRegistry()):
            pass
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_the_service_has_the_name_that_charts_use() -> None:
    assert SERVICE.name == "context-assembly"
