"""What every call gets between two services, on a real channel and server."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from chatmesh.tokenizer.v1 import tokenizer_pb2 as pb
from chatmesh.tokenizer.v1 import tokenizer_pb2_grpc as pb_grpc
from prometheus_client import CollectorRegistry

from services.shared.boundary import Boundary
from services.shared.channel import MeshChannel, connect
from services.shared.deadline import due_in, within
from services.shared.errors import DeadlineExceeded, InternalError, MeshError, Unavailable
from services.shared.metrics import RpcMetrics
from services.shared.server import Servable, serving
from services.shared.tracing import Tracer, request_id
from services.shared.wire_errors import mesh_errors
from tests.fakes.logs import logged_to

Stream = AsyncGenerator[pb.EncodeResponse, None]

SERVICE = pb.DESCRIPTOR.services_by_name["TokenizerService"]


class TooWarm(MeshError):
    status = "FAILED_PRECONDITION"


class Scripted(pb_grpc.TokenizerServiceServicer):
    """Answers as the text asks it to."""

    name = SERVICE.full_name

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.waiting = asyncio.Event()

    def add_to(self, server: grpc.aio.Server) -> None:
        pb_grpc.add_TokenizerServiceServicer_to_server(self, server)
        method = grpc.unary_stream_rpc_method_handler(
            self.stream,
            request_deserializer=pb.EncodeRequest.FromString,
            response_serializer=pb.EncodeResponse.SerializeToString,
        )
        own = grpc.method_handlers_generic_handler("tests.Endless", {"Stream": method})
        server.add_generic_rpc_handlers((own,))

    async def Fit(self, request: pb.FitRequest, context: object) -> pb.FitResponse:
        raise AssertionError("not asked for here")

    async def Encode(self, request: pb.EncodeRequest, context: object) -> pb.EncodeResponse:
        if request.text == "mesh error":
            raise TooWarm("too warm", degrees="40")
        if request.text == "bug":
            raise ValueError("CANARY what the user said")
        if request.text == "wait":
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        left = within(None)
        return pb.EncodeResponse(ids=[int(left * 1000) if left else 0])

    async def stream(self, request: pb.EncodeRequest, context: object) -> Stream:
        """A method of the tests' own: streams without end until it is left."""
        try:
            while True:
                yield pb.EncodeResponse()
                self.waiting.set()
        finally:
            self.cancelled.set()

    async def Decode(self, request: pb.DecodeRequest, context: object) -> pb.DecodeResponse:
        return pb.DecodeResponse(text=request_id.get())


class Peer:
    def __init__(self, scripted: Scripted, channel: MeshChannel, registry: CollectorRegistry):
        self.scripted = scripted
        self.stream = channel.unary_stream(
            "/tests.Endless/Stream",
            request_serializer=pb.EncodeRequest.SerializeToString,
            response_deserializer=pb.EncodeResponse.FromString,
        )
        self.stub = pb_grpc.TokenizerServiceStub(channel)
        self.registry = registry

    async def encode(self, text: str, timeout: float = 5) -> Sequence[int]:
        with mesh_errors("tokenizer"):
            return (await self.stub.Encode(pb.EncodeRequest(text=text), timeout=timeout)).ids


@asynccontextmanager
async def _peer() -> AsyncIterator[Peer]:
    registry = CollectorRegistry()
    scripted = Scripted()
    servers: list[Servable] = [scripted]
    boundary = Boundary(
        "tokenizer", Tracer("test", otlp_endpoint="", sample_ratio=1), RpcMetrics(registry)
    )
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(
            serving(servers, "localhost:0", grace=0, interceptors=[boundary])
        )
        channel = await stack.enter_async_context(connect(f"localhost:{port}", SERVICE))
        yield Peer(scripted, channel, registry)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with _peer() as made:
        yield made


async def test_an_error_arrives_as_the_class_that_was_raised(peer: Peer) -> None:
    with pytest.raises(TooWarm, match="too warm") as caught:
        await peer.encode("mesh error")
    assert caught.value.details == {"degrees": "40"}


async def test_the_words_of_a_bug_stay_where_it_happened(
    peer: Peer,
) -> None:
    log = io.StringIO()
    with logged_to(log), pytest.raises(InternalError) as caught:
        await peer.encode("bug")
    assert caught.value.message == "internal error"
    logged = json.loads(log.getvalue().splitlines()[-1])
    assert logged["exception"][0]["exc_type"] == "ValueError"
    assert logged["request_id"]
    assert "CANARY" not in json.dumps(logged)


async def test_a_deadline_shrinks_from_hop_to_hop(peer: Peer) -> None:
    with due_in(2):
        (left_ms,) = await peer.encode("how long", timeout=60)
    assert 0 < left_ms < 2000


async def test_no_call_starts_when_the_time_is_over(peer: Peer) -> None:
    with due_in(0), pytest.raises(DeadlineExceeded):
        await peer.encode("too late")


async def test_a_call_beyond_its_deadline_says_so(peer: Peer) -> None:
    with pytest.raises(DeadlineExceeded):
        await peer.encode("wait", timeout=0.1)


async def test_cancelling_the_caller_cancels_the_handler(peer: Peer) -> None:
    call = asyncio.create_task(peer.encode("wait"))
    await asyncio.wait_for(peer.scripted.waiting.wait(), 5)
    call.cancel()
    await asyncio.wait_for(peer.scripted.cancelled.wait(), 5)


@pytest.mark.parametrize("read", [1, 100])
async def test_leaving_a_stream_closes_what_makes_it(
    peer: Peer, read: int, capfd: pytest.CaptureFixture[str]
) -> None:
    call = peer.stream(pb.EncodeRequest())
    for _ in range(read):
        await call.read()
    call.cancel()
    await asyncio.wait_for(peer.scripted.cancelled.wait(), 5)
    assert "different Context" not in capfd.readouterr().err


async def test_the_request_id_travels(peer: Peer) -> None:
    token = request_id.set("req_42")
    try:
        response = await peer.stub.Decode(pb.DecodeRequest())
    finally:
        request_id.reset(token)
    assert response.text == "req_42"


async def test_a_stranger_without_a_request_id_gets_one(peer: Peer) -> None:
    assert (await peer.stub.Decode(pb.DecodeRequest())).text.startswith("req_")


async def test_every_call_is_counted_by_its_end(peer: Peer) -> None:
    await peer.encode("fine")
    with pytest.raises(TooWarm):
        await peer.encode("mesh error")
    method = "/chatmesh.tokenizer.v1.TokenizerService/Encode"

    def handled(code: str) -> float | None:
        labels = {"method": method, "code": code}
        return peer.registry.get_sample_value("chatmesh_rpc_handled_total", labels)

    assert handled("OK") == 1
    assert handled("FAILED_PRECONDITION") == 1
    running = peer.registry.get_sample_value("chatmesh_rpc_running", {"method": method})
    assert running == 0


async def test_a_service_that_is_away_is_unavailable_by_name() -> None:
    async with connect("localhost:1", SERVICE) as channel:
        with pytest.raises(Unavailable) as caught, mesh_errors("tokenizer"):
            await pb_grpc.TokenizerServiceStub(channel).Encode(pb.EncodeRequest(), timeout=5)
    assert caught.value.details["service"] == "tokenizer"
