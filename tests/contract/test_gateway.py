"""One suite for a session in process and over the public gRPC endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.context_assembly.api import Call, CallResult, Text
from services.gateway.api import (
    Ask,
    Completed,
    InputBlocked,
    InvalidKey,
    ModelNotFound,
    Response,
    ResponseNotFound,
    Session,
    Started,
    Status,
    TextDelta,
)
from services.gateway.client import GatewayClient
from services.gateway.server import GatewayServer
from services.inference.api import Sampling
from services.shared.boundary import Boundary
from services.shared.chat import Role, Tool, ToolChoice, ToolMode
from services.shared.errors import Malformed
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tracing import Tracer
from tests.fakes.mesh import Script, Surroundings, calls, says, surroundings

HELLO = Ask("demo", (Text("msg_0", Role.USER, "hello there"),))


@dataclass(slots=True)
class Opened:
    session: Session
    mesh: Surroundings


class Transport:
    """How a session is reached."""

    def __init__(self, over_grpc: bool) -> None:
        self._over_grpc = over_grpc

    @asynccontextmanager
    async def open(self, *scripts: Script) -> AsyncIterator[Opened]:
        async with surroundings(*scripts) as mesh:
            if not self._over_grpc:
                yield Opened(await mesh.front.session(mesh.key), mesh)
                return
            async with served(mesh) as channel:
                yield Opened(GatewayClient(channel, mesh.key, timeout=5), mesh)


@asynccontextmanager
async def served(mesh: Surroundings) -> AsyncIterator[grpc.aio.Channel]:
    tracer = Tracer("test", otlp_endpoint="", sample_ratio=0)
    boundary = Boundary("gateway", tracer, RpcMetrics(CollectorRegistry()))
    server = serving([GatewayServer(mesh.front)], "localhost:0", grace=0, interceptors=[boundary])
    async with server as port, grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        yield channel


@pytest.fixture(params=["direct", "over gRPC"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param == "over gRPC")


async def test_a_turn_streams_and_ends_with_the_whole_response(transport: Transport) -> None:
    async with transport.open(calls(("double", '{"n": 2}')), says("It ", "is 4.")) as here:
        events = [event async for event in here.session.respond(HELLO)]
    start, *middle, end = events
    assert isinstance(start, Started)
    assert isinstance(end, Completed)
    text = "".join(event.text for event in middle if isinstance(event, TextDelta))
    call, answer = end.response.output
    assert isinstance(call, Call)
    assert isinstance(answer, Text)
    assert (call.own, call.output, answer.text, text) == (True, "4", "It is 4.", "It is 4.")
    assert (end.response.id, end.response.status) == (start.response_id, Status.COMPLETED)
    assert end.response.usage.prompt_tokens == 20


async def test_what_is_asked_arrives_as_it_was_asked(transport: Transport) -> None:
    ask = replace(
        HELLO,
        input=(
            *HELLO.input,
            Call("fc_1", "c1", "city", '{"q": 1}'),
            CallResult("fco_1", "c1", "Oslo"),
        ),
        instructions="Be kind.",
        functions=(Tool("city", "Finds.", '{"type": "object"}', strict=True),),
        choice=ToolChoice(ToolMode.NAMED, "city"),
        parallel_calls=False,
        store=False,
        sampling=Sampling(max_tokens=50, temperature=0.5, top_p=0.25, seed=7, stop=("END",)),
        truncate=True,
        safety_identifier="u1",
    )
    async with transport.open(says("ok")) as here:
        async for _ in here.session.respond(ask):
            pass
        (assembly,) = here.mesh.context.assemblies
        (generation,) = here.mesh.inference.generations
    assert assembly.input == ask.input
    assert (assembly.instructions, assembly.truncate_input) == ("Be kind.", True)
    assert assembly.tools == ask.functions
    assert assembly.scope.user == "person:u1"
    assert generation.sampling == ask.sampling
    assert (generation.calling.choice, generation.calling.parallel) == (ask.choice, False)


async def test_a_response_is_found_and_erased(transport: Transport) -> None:
    async with transport.open(says("kept")) as here:
        events = [event async for event in here.session.respond(HELLO)]
        assert isinstance(events[-1], Completed)
        response = events[-1].response
        found = await here.session.get_response(response.id)
        assert _essence(found) == _essence(response)
        await here.session.delete_response(response.id)
        with pytest.raises(ResponseNotFound):
            await here.session.get_response(response.id)
        with pytest.raises(ResponseNotFound):
            await here.session.delete_response(response.id)


def _essence(response: Response) -> tuple[object, ...]:
    return (response.id, response.model, response.status, response.output, response.usage)


async def test_models_are_listed(transport: Transport) -> None:
    async with transport.open() as here:
        cards = {card.id: card for card in await here.session.list_models()}
    assert cards["demo"].context_tokens == 1000
    assert not cards["toolless"].calls_tools


async def test_failures_are_of_their_class(transport: Transport) -> None:
    blocked = replace(HELLO, input=(Text("m", Role.USER, "forbidden"),))
    async with transport.open() as here:
        with pytest.raises(InputBlocked) as caught:
            await anext(here.session.respond(blocked))
        assert caught.value.details["category"] == "violence"
        with pytest.raises(ModelNotFound):
            await anext(here.session.respond(replace(HELLO, model="other")))


async def test_leaving_stops_the_turn(transport: Transport) -> None:
    script = replace(says("a", "b"), pause_before=1)
    async with transport.open(script) as here:
        async with aclosing(here.session.respond(HELLO)) as events:
            await anext(events)
            await asyncio.wait_for(script.paused.wait(), 5)
        await asyncio.wait_for(here.mesh.inference.idle.wait(), 5)
        assert here.mesh.inference.aborted == 1


@pytest.mark.parametrize("key", ["", "nonsense", "cm_live_AAAAAAAA_" + "B" * 43 + "_00000000"])
async def test_grpc_lets_nobody_in_without_a_key(key: str) -> None:
    async with surroundings() as mesh, served(mesh) as channel:
        stranger = GatewayClient(channel, key, timeout=5)
        for attempt in (
            stranger.list_models(),
            stranger.get_response("resp_1"),
            stranger.delete_response("resp_1"),
            anext(stranger.respond(HELLO)),
        ):
            with pytest.raises(InvalidKey):
                await attempt


async def test_grpc_refuses_an_empty_input() -> None:
    async with surroundings() as mesh, served(mesh) as channel:
        client = GatewayClient(channel, mesh.key, timeout=5)
        with pytest.raises(Malformed) as caught:
            await anext(client.respond(replace(HELLO, input=())))
    assert caught.value.details["param"] == "input"
