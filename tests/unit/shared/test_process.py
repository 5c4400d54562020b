"""A service as a process: what it serves, how it leaves, and the store that it migrates."""

import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb
from chatmesh.tokenizer.v1 import tokenizer_pb2_grpc as pb_grpc
from prometheus_client import CollectorRegistry
from pydantic import Field

from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.gateway.adapters.sqlite import open_sqlite_accounts
from services.memory.adapters.sqlite import open_fact_store
from services.shared import process
from services.shared.config import ServiceConfig
from services.shared.process import Service, running
from services.shared.schema import Breaking
from services.shared.server import Served
from services.shared.sqlite import open_sqlite

STORES: dict[str, tuple[str, Callable[[str], AbstractAsyncContextManager[object]]]] = {
    "gateway": ("GATEWAY_ACCOUNTS_URL", open_sqlite_accounts),
    "context_assembly": ("CONTEXT_ASSEMBLY_TURNS_URL", open_sqlite_turns),
    "memory": ("MEMORY_STORE_URL", open_fact_store),
}
NEWER = [*["SELECT 1"] * 98, Breaking("SELECT 1")]


# What only some meshes use, and takes long to import.
SOMETIMES = {
    *("psycopg", "cassandra", "pymongo", "kubernetes_asyncio"),
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}


class Config(ServiceConfig):
    address: str = "127.0.0.1:0"
    grace_seconds: float = Field(default=7, ge=0)
    max_body_bytes: int = 4096


class Lengths(pb_grpc.TokenizerServiceServicer):
    """Says how long a text was."""

    name = pb.DESCRIPTOR.services_by_name["TokenizerService"].full_name

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_TokenizerServiceServicer_to_server(self, server)

    async def Fit(self, request: pb.FitRequest, context: object) -> pb.FitResponse:
        raise AssertionError("not asked for here")

    async def Decode(self, request: pb.DecodeRequest, context: object) -> pb.DecodeResponse:
        raise AssertionError("not asked for here")

    async def Encode(self, request: pb.EncodeRequest, context: object) -> pb.EncodeResponse:
        return pb.EncodeResponse(ids=[len(request.text)])


class Beside:
    """An endpoint beside gRPC; writes down what happens to it."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    def leave(self) -> None:
        self._happened.append("told to leave")

    async def stop(self, grace: float) -> None:
        self._happened.append(f"stopped within {grace:.0f} s")


async def test_a_service_drains_all_that_it_serves_before_what_it_opened_is_closed() -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def build(config: Config, registry: CollectorRegistry) -> AsyncIterator[Sequence[Served]]:
        happened.append("store opened")
        yield [Lengths(), Beside(happened)]
        happened.append("store closed")

    service = Service("tokenizer", Config, build)
    async with running(service, Config()) as endpoint:
        async with grpc.aio.insecure_channel(endpoint.address) as channel:
            stub = pb_grpc.TokenizerServiceStub(channel)
            assert (await stub.Encode(pb.EncodeRequest(text="four"))).ids == [4]
        assert happened == ["store opened"]
    assert happened[1:] == ["told to leave", "stopped within 7 s", "store closed"]


async def test_a_service_may_say_how_large_a_message_it_accepts() -> None:
    @asynccontextmanager
    async def build(config: Config, registry: CollectorRegistry) -> AsyncIterator[Sequence[Served]]:
        yield [Lengths()]

    service = Service(
        "tokenizer", Config, build, max_message_bytes=lambda config: config.max_body_bytes
    )
    async with (
        running(service, Config()) as endpoint,
        grpc.aio.insecure_channel(endpoint.address) as channel,
    ):
        stub = pb_grpc.TokenizerServiceStub(channel)
        assert (await stub.Encode(pb.EncodeRequest(text="x" * 4000))).ids == [4000]
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Encode(pb.EncodeRequest(text="x" * 4096))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_what_was_imported_is_not_looked_through_for_garbage_while_a_service_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def build(config: Config, registry: CollectorRegistry) -> AsyncIterator[Sequence[Served]]:
        yield [Lengths()]

    async def stop_at_once() -> None:
        frozen.append(gc.get_freeze_count())

    frozen = [gc.get_freeze_count()]
    monkeypatch.setattr(process, "told_to_stop", stop_at_once)
    try:
        await process._serve_until_told(Service("tokenizer", Config, build), Config())
    finally:
        gc.unfreeze()
    assert frozen[0] == 0
    assert frozen[1] > 0


def ran(service: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"services.{service}", *arguments]
    given = os.environ | environment
    return subprocess.run(command, env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("service", STORES)
async def test_a_store_is_migrated_without_the_service(service: str, tmp_path: Path) -> None:
    variable, opened = STORES[service]
    file = tmp_path / "store.sqlite"
    done = ran(service, "--migrate", **{variable: f"sqlite:{file}"})
    assert done.returncode == 0, done.stderr
    assert "the store has this release's schema" in done.stderr
    before = file.stat().st_size
    async with opened(f"sqlite:{file}"):
        assert file.stat().st_size == before > 0


async def test_a_store_that_is_too_new_says_so_in_its_last_line(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/store.sqlite"
    async with open_sqlite(url, NEWER):
        pass
    done = ran("memory", "--migrate", MEMORY_STORE_URL=url)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("memory: ")
    assert "has schema 99" in done.stderr


def test_a_service_that_keeps_nothing_has_nothing_to_migrate() -> None:
    done = ran("moderation", "--migrate")
    assert done.returncode == 2
    assert "unrecognized arguments: --migrate" in done.stderr


@pytest.mark.parametrize(
    "service", [*STORES, "inference", "moderation", "tokenizer", "tool_runner"]
)
def test_a_service_starts_without_the_clients_of_servers_that_it_may_not_use(service: str) -> None:
    """Where a process is started again, every tenth of a second of its processor counts."""
    code = f"import sys, services.{service}.wiring; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert f"services.{service}.config" in imported
    assert not imported & SOMETIMES
