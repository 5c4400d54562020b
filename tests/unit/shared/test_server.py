"""How a server leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb
from chatmesh.tokenizer.v1 import tokenizer_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2

from services.shared.server import PortTaken, serving

MEBIBYTE = 1024 * 1024


class Held(pb_grpc.TokenizerServiceServicer):
    """Answers when it is let."""

    name = pb.DESCRIPTOR.services_by_name["TokenizerService"].full_name

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.told_to_leave = asyncio.Event()
        self.texts: list[int] = []

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_TokenizerServiceServicer_to_server(self, server)

    def leave(self) -> None:
        self.told_to_leave.set()

    async def Fit(self, request: pb.FitRequest, context: object) -> pb.FitResponse:
        raise AssertionError("not asked for here")

    async def Decode(self, request: pb.DecodeRequest, context: object) -> pb.DecodeResponse:
        raise AssertionError("not asked for here")

    async def Encode(self, request: pb.EncodeRequest, context: object) -> pb.EncodeResponse:
        self.texts.append(len(request.text))
        self.asked.set()
        await self.go_on.wait()
        return pb.EncodeResponse(ids=[1])


async def status(channel: grpc.aio.Channel, name: str) -> int:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return int((await check(health_pb2.HealthCheckRequest(service=name))).status)


async def test_health_is_known_by_name_and_as_a_whole() -> None:
    async with (
        serving([Held()], "localhost:0", grace=0) as port,
        grpc.aio.insecure_channel(f"localhost:{port}") as channel,
    ):
        for name in ("", Held.name):
            assert await status(channel, name) == health_pb2.HealthCheckResponse.SERVING


async def test_leaving_tells_first_serves_for_a_while_and_lets_what_runs_end() -> None:
    held = Held()
    leave = asyncio.Event()
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with serving([held], "localhost:0", grace=10, drain=0.3) as port:
            bound.set_result(port)
            await leave.wait()

    server = asyncio.create_task(serve())
    async with grpc.aio.insecure_channel(f"localhost:{await bound}") as channel:
        stub = pb_grpc.TokenizerServiceStub(channel)
        early = asyncio.ensure_future(stub.Encode(pb.EncodeRequest()))
        await asyncio.wait_for(held.asked.wait(), 5)
        held.asked.clear()
        leave.set()
        await asyncio.wait_for(held.told_to_leave.wait(), 5)
        late = asyncio.ensure_future(stub.Encode(pb.EncodeRequest()))
        await asyncio.wait_for(held.asked.wait(), 5)
        assert await status(channel, "") == health_pb2.HealthCheckResponse.NOT_SERVING
        assert not server.done()
        held.go_on.set()
        assert [list((await call).ids) for call in (early, late)] == [[1], [1]]
        await asyncio.wait_for(server, 5)


async def test_what_does_not_end_within_its_grace_is_cancelled() -> None:
    held = Held()
    async with serving([held], "localhost:0", grace=0.1) as port:
        channel = grpc.aio.insecure_channel(f"localhost:{port}")
        call = asyncio.ensure_future(
            pb_grpc.TokenizerServiceStub(channel).Encode(pb.EncodeRequest())
        )
        await asyncio.wait_for(held.asked.wait(), 5)
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    await channel.close()


async def test_an_address_in_use_is_one_sentence() -> None:
    async with serving([Held()], "localhost:0", grace=0) as port:
        with pytest.raises(PortTaken, match=f"localhost:{port} cannot be listened on"):
            async with serving([Held()], f"localhost:{port}", grace=0):
                pass


class Beside:
    """An endpoint beside gRPC that takes as long to stop as a test wants."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.told_to_leave = asyncio.Event()
        self.stopping = asyncio.Event()
        self.go_on = asyncio.Event()
        self.graces: list[float] = []
        self._failure = failure

    def leave(self) -> None:
        assert not self.stopping.is_set()
        self.told_to_leave.set()

    async def stop(self, grace: float) -> None:
        assert self.told_to_leave.is_set()
        self.graces.append(grace)
        self.stopping.set()
        await self.go_on.wait()
        if self._failure:
            raise self._failure


@dataclass(frozen=True, slots=True)
class Draining:
    """A server that drains while a call of it still runs."""

    server: asyncio.Task[None]
    stub: "pb_grpc.TokenizerServiceAsyncStub"
    running: asyncio.Future[pb.EncodeResponse]


@asynccontextmanager
async def leaving(held: Held, beside: Beside) -> AsyncIterator[Draining]:
    leave = asyncio.Event()
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with serving([held, beside], "localhost:0", grace=60) as port:
            bound.set_result(port)
            await leave.wait()

    server = asyncio.create_task(serve())
    async with grpc.aio.insecure_channel(f"localhost:{await bound}") as channel:
        stub = pb_grpc.TokenizerServiceStub(channel)
        running = asyncio.ensure_future(stub.Encode(pb.EncodeRequest()))
        await asyncio.wait_for(held.asked.wait(), 5)
        assert not beside.told_to_leave.is_set()
        leave.set()
        await asyncio.wait_for(beside.stopping.wait(), 5)
        yield Draining(server, stub, running)


async def a_while() -> None:
    """Long enough for a task that has been woken to end, and the one that awaits it."""
    for _ in range(50):
        await asyncio.sleep(0)


async def ended(server: asyncio.Task[None]) -> None:
    async with asyncio.timeout(5):
        await server


@pytest.mark.parametrize("first", ["gRPC", "beside"])
async def test_grpc_and_what_is_beside_it_drain_at_the_same_time(first: str) -> None:
    held, beside = Held(), Beside()
    async with leaving(held, beside) as left:
        # The other one has begun to stop, too: gRPC takes nothing new, and what runs goes on.
        with pytest.raises(grpc.aio.AioRpcError):
            await left.stub.Encode(pb.EncodeRequest(text="late"))
        assert held.texts == [0]
        if first == "gRPC":
            held.go_on.set()
            assert list((await left.running).ids) == [1]
        else:
            beside.go_on.set()
            await a_while()
        assert not left.server.done()
        held.go_on.set()
        beside.go_on.set()
        await ended(left.server)
        assert list((await left.running).ids) == [1]
    assert beside.graces == [60]


async def test_an_endpoint_that_fails_to_stop_does_not_cut_off_the_others() -> None:
    held, beside = Held(), Beside(OSError("the socket is gone"))
    async with leaving(held, beside) as left:
        beside.go_on.set()
        await a_while()
        assert not left.server.done()
        held.go_on.set()
        assert list((await left.running).ids) == [1]
        with pytest.raises(OSError, match="the socket is gone"):
            await ended(left.server)


async def test_a_larger_message_than_is_accepted_is_refused_unread() -> None:
    held = Held()
    held.go_on.set()
    async with (
        serving([held], "localhost:0", grace=0, max_message_bytes=2 * MEBIBYTE) as port,
        grpc.aio.insecure_channel(f"localhost:{port}") as channel,
    ):
        stub = pb_grpc.TokenizerServiceStub(channel)
        await stub.Encode(pb.EncodeRequest(text="x" * MEBIBYTE))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Encode(pb.EncodeRequest(text="x" * 2 * MEBIBYTE))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert held.texts == [MEBIBYTE]


async def test_messages_between_services_may_be_large_unless_something_else_is_said() -> None:
    held = Held()
    held.go_on.set()
    async with (
        serving([held], "localhost:0", grace=0) as port,
        grpc.aio.insecure_channel(f"localhost:{port}") as channel,
    ):
        stub = pb_grpc.TokenizerServiceStub(channel)
        await stub.Encode(pb.EncodeRequest(text="x" * 32 * MEBIBYTE))
    assert held.texts == [32 * MEBIBYTE]
