"""How a server leaves."""

import asyncio

import grpc
import pytest
from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb
from chatmesh.tokenizer.v1 import tokenizer_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2

from services.shared.server import PortTaken, serving


class Held(pb_grpc.TokenizerServiceServicer):
    """Answers when it is let."""

    name = pb.DESCRIPTOR.services_by_name["TokenizerService"].full_name

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.told_to_leave = asyncio.Event()

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_TokenizerServiceServicer_to_server(self, server)

    def leave(self) -> None:
        self.told_to_leave.set()

    async def Fit(self, request: pb.FitRequest, context: object) -> pb.FitResponse:
        raise AssertionError("not asked for here")

    async def Decode(self, request: pb.DecodeRequest, context: object) -> pb.DecodeResponse:
        raise AssertionError("not asked for here")

    async def Encode(self, request: pb.EncodeRequest, context: object) -> pb.EncodeResponse:
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
