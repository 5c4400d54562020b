import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.memory.api import FactTooLong
from services.memory.client import connect_memory
from services.memory.config import MemoryConfig
from services.memory.wiring import SERVICE
from services.shared.errors import Unavailable
from services.shared.process import running
from services.shared.scope import Scope
from services.shared.store_url import StoreUrl

ANN = Scope("acme", "main", "ann")
ROOT = Path(__file__).parents[3]


async def test_serves_what_it_is_configured_to(tmp_path: Path) -> None:
    config = MemoryConfig(
        address="127.0.0.1:0",
        store_url=StoreUrl(f"sqlite:{tmp_path}/memory.sqlite"),
        max_fact_chars=50,
    )
    async with (
        running(SERVICE, config) as endpoint,
        connect_memory(endpoint.address, timeout=10) as memory,
    ):
        fact = (await memory.remember(ANN, "my canary is called Tweety")).fact
        assert fact.id.startswith("mem_")
        assert fact.created_at_ms > 1_700_000_000_000
        assert (await memory.recall(ANN, query="What is my canary called?")).found == (fact,)
        with pytest.raises(FactTooLong):
            await memory.remember(ANN, "canary " * 10)


async def test_who_watches_for_erasures_does_not_hold_it_up_when_it_stops(tmp_path: Path) -> None:
    config = MemoryConfig(
        address="127.0.0.1:0",
        store_url=StoreUrl(f"sqlite:{tmp_path}/memory.sqlite"),
        grace_seconds=60,
    )
    async with AsyncExitStack() as service:
        endpoint = await service.enter_async_context(running(SERVICE, config))
        async with (
            connect_memory(endpoint.address, timeout=10) as memory,
            aclosing(memory.watch_erased(0)) as watch,
        ):
            fact = (await memory.remember(ANN, "my canary is called Tweety")).fact
            await memory.forget(ANN, fact_id=fact.id)
            assert (await asyncio.wait_for(anext(watch), 10)).fact_ids == (fact.id,)
            waiting = asyncio.ensure_future(anext(watch))
            await asyncio.wait_for(service.aclose(), 10)
            with pytest.raises(Unavailable):
                await waiting


async def test_as_a_process_it_logs_nobodys_words_and_that_its_store_ends_with_it() -> None:
    async with started() as process:
        assert process.stderr
        logged = [await said(process.stderr)]
        while logged[-1]["event"] != "serving":
            logged.append(await said(process.stderr))
        async with connect_memory(logged[-1]["address"], timeout=10) as memory:
            await memory.remember(ANN, "my canary is called Tweety")
            await memory.recall(ANN, query="What is my canary called?")
            with pytest.raises(FactTooLong):
                await memory.remember(ANN, "canary " * 100)
            assert await memory.forget(ANN, query="my canary")
        process.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(process.stderr.read(), 30)
        assert await process.wait() == 0
    assert any("in this process alone" in line["event"] for line in logged)
    assert b"stopped" in rest
    assert "canary" not in json.dumps(logged) + rest.decode()


@asynccontextmanager
async def started() -> AsyncIterator[asyncio.subprocess.Process]:
    settings = {
        "PYTHONPATH": str(ROOT / "protos" / "gen"),
        "MEMORY_ADDRESS": "127.0.0.1:0",
        "MEMORY_STORE_URL": "memory:",
        "MEMORY_LOG_LEVEL": "DEBUG",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.memory"),
        cwd=ROOT,
        env=os.environ | settings,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def said(stderr: asyncio.StreamReader) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(await asyncio.wait_for(stderr.readline(), 60))
    return line
