"""One suite for a session in process and over the public gRPC endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.gateway.api import (
    Ask,
    ChoiceEnded,
    Completed,
    EventsGone,
    Failed,
    Finish,
    InputBlocked,
    InvalidKey,
    KeyReused,
    ModelNotFound,
    Once,
    OwnTools,
    Response,
    ResponseNotFound,
    Session,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.gateway.client import GatewayClient
from services.gateway.server import GatewayServer
from services.inference.api import Delta, Piece, Sampling, TokenLogprob
from services.shared.boundary import Boundary
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Message,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.errors import Malformed, MeshError
from services.shared.metrics import RpcMetrics
from services.shared.server import MAX_MESSAGE_BYTES, serving
from services.shared.tools import Tool, ToolChoice, ToolMode
from services.shared.tracing import Tracer
from tests.fakes.mesh import (
    BOUNDS,
    PERSON,
    Script,
    Surroundings,
    calls,
    finished,
    says,
    surroundings,
)

CATEGORY, MODEL = {"category": "violence"}, {"param": "model"}
HELLO = Ask("demo", (said("msg_0", Role.USER, "hello there"),), own_tools=OwnTools())


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
async def served(
    mesh: Surroundings, max_message_bytes: int = MAX_MESSAGE_BYTES
) -> AsyncIterator[grpc.aio.Channel]:
    tracer = Tracer("test", otlp_endpoint="", sample_ratio=0)
    boundary = Boundary("gateway", tracer, RpcMetrics(CollectorRegistry()))
    server = serving(
        [GatewayServer(mesh.front)],
        "localhost:0",
        grace=0,
        interceptors=[boundary],
        max_message_bytes=max_message_bytes,
    )
    async with server as port, grpc.aio.insecure_channel(f"localhost:{port}") as channel:
        yield channel


@pytest.fixture(params=["direct", "over gRPC"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param == "over gRPC")


async def read(session: Session, ask: Ask) -> list[TurnEvent]:
    """All events of a turn; their numbers have no gaps."""
    numbered = [each async for each in session.respond(ask)]
    assert [each.number for each in numbered] == list(range(len(numbered)))
    return [each.event for each in numbered]


async def test_a_turn_streams_and_ends_with_the_whole_response(transport: Transport) -> None:
    async with transport.open(calls(("double", '{"n": 2}')), says("It ", "is 4.")) as here:
        events = await read(here.session, HELLO)
    start, *middle, end = events
    assert isinstance(start, Started)
    assert isinstance(end, Completed)
    text = "".join(event.text for event in middle if isinstance(event, TextDelta))
    call, answer = end.response.output
    assert isinstance(call, Call)
    assert isinstance(answer, Message)
    assert (call.run_by, call.outcome) == (RunBy.MESH, CallOutcome((Text("4"),)))
    assert answer.text == text == "It is 4."
    assert (end.response.id, end.response.status) == (start.response_id, Status.COMPLETED)
    assert end.response.usage.prompt_tokens == 20


async def test_what_is_asked_arrives_as_it_was_asked(transport: Transport) -> None:
    ask = replace(
        HELLO,
        input=(
            *HELLO.input,
            Call("fc_1", "c1", "city", '{"q": 1}'),
            CallResult("fco_1", "c1", (Text("Oslo"),)),
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
    assert assembly.scope.person == "person:u1"
    assert generation.sampling == ask.sampling
    assert (generation.calling.choice, generation.calling.parallel) == (ask.choice, False)


async def test_a_response_is_found_and_erased(transport: Transport) -> None:
    async with transport.open(says("kept")) as here:
        events = await read(here.session, HELLO)
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


async def test_all_of_an_event_travels(transport: Transport) -> None:
    """Choices, log probabilities, ends and what the protocol wants to find again."""
    token = TokenLogprob(1, "one", -0.5, (TokenLogprob(2, "two", -1.5),))
    pieces = [Piece((Delta(0, (1,), "one", logprobs=(token,)), Delta(1, (2,), "two")))]
    ask = replace(HELLO, sampling=Sampling(n=2, top_logprobs=1), echo='{"a": 1}')
    async with transport.open(Script(finished(pieces))) as here:
        session = await here.mesh.front.session(here.mesh.key)
        here_events = [each async for each in session.respond(ask)]
        start = here_events[0].event
        assert isinstance(start, Started)
        assert start.echo == '{"a": 1}'
        followed = [each async for each in here.session.follow(start.response_id)]
    assert followed == here_events
    events = [each.event for each in followed]
    deltas = {e.index: e for e in events if isinstance(e, TextDelta)}
    assert (deltas[0].text, deltas[1].text) == ("one", "two")
    assert deltas[0].logprobs == (token,)
    ends = [(e.index, e.finish) for e in events if isinstance(e, ChoiceEnded)]
    assert ends == [(0, Finish.STOP), (1, Finish.STOP)]


async def test_a_turn_is_followed_from_any_event_on(transport: Transport) -> None:
    async with transport.open(calls(("double", '{"n": 2}')), says("It ", "is 4.")) as here:
        whole = [each async for each in here.session.respond(HELLO)]
        start = whole[0].event
        assert isinstance(start, Started)
        for after in (-1, 0, 3, whole[-1].number):
            again = [each async for each in here.session.follow(start.response_id, after)]
            assert again == whole[after + 1 :]


async def test_another_organisations_turn_is_not_there(transport: Transport) -> None:
    async with transport.open(says("ok")) as here:
        (start, *_) = await read(here.session, HELLO)
        assert isinstance(start, Started)
        key = await here.mesh.authenticator.create_key(replace(PERSON, id="acct_9"))
        stranger = await here.mesh.front.session(key)
        for response_id in (start.response_id, "resp_x"):
            with pytest.raises(ResponseNotFound):
                await anext(stranger.follow(response_id))


async def test_events_that_were_dropped_are_gone_and_the_response_stays(
    transport: Transport,
) -> None:
    async with transport.open(says("ok")) as here:
        events = await read(here.session, HELLO)
        assert isinstance(events[0], Started)
        here.mesh.clock.now += BOUNDS.kept_seconds + 1
        with pytest.raises(EventsGone):
            await anext(here.session.follow(events[0].response_id))
        assert await here.session.get_response(events[0].response_id)


async def test_a_turn_in_the_background_goes_on_when_its_reader_leaves(
    transport: Transport,
) -> None:
    script = replace(says("a", "b"), pause_before=1)
    async with transport.open(script) as here:
        async with aclosing(here.session.respond(replace(HELLO, background=True))) as events:
            start = (await anext(events)).event
            await asyncio.wait_for(script.paused.wait(), 5)
        script.go_on.set()
        assert isinstance(start, Started)
        followed = [each.event async for each in here.session.follow(start.response_id)]
        assert isinstance(followed[-1], Completed)
        assert "".join(e.text for e in followed if isinstance(e, TextDelta)) == "ab"


async def test_models_are_listed(transport: Transport) -> None:
    async with transport.open() as here:
        cards = {card.id: card for card in await here.session.list_models()}
    assert cards["demo"].context_tokens == 1000
    assert not cards["toolless"].calls_tools


async def test_failures_are_of_their_class(transport: Transport) -> None:
    blocked = replace(HELLO, input=(said("m", Role.USER, "forbidden"),))
    async with transport.open() as here:
        for ask, kind in ((blocked, InputBlocked), (replace(HELLO, model="other"), ModelNotFound)):
            (last,) = await read(here.session, ask)
            assert isinstance(last, Failed)
            error = last.error()
            assert isinstance(error, kind)
            assert error.details == {InputBlocked: CATEGORY, ModelNotFound: MODEL}[kind]


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
            anext(stranger.follow("resp_1")),
        ):
            with pytest.raises(InvalidKey):
                await attempt


async def test_grpc_refuses_an_empty_input() -> None:
    async with surroundings() as mesh, served(mesh) as channel:
        client = GatewayClient(channel, mesh.key, timeout=5)
        with pytest.raises(Malformed) as caught:
            await anext(client.respond(replace(HELLO, input=())))
    assert caught.value.details["param"] == "input"


async def test_grpc_reads_no_request_without_a_key() -> None:
    """Whoever has no key is refused before the body, however long that is, has been decoded."""
    async with surroundings() as mesh, served(mesh) as channel:
        sent: Any = channel.unary_unary("/chatmesh.gateway.v1.GatewayService/GetResponse")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await sent(b"\xff" * 1_000_000)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        # The negative control: with a key, what cannot be decoded is told.
        metadata = (("authorization", f"Bearer {mesh.key}"),)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await sent(b"\xff" * 1_000_000, metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_grpc_refuses_a_request_that_is_too_long_unread() -> None:
    async with surroundings() as mesh, served(mesh, max_message_bytes=1000) as channel:
        client = GatewayClient(channel, mesh.key, timeout=5)
        long = replace(HELLO, instructions="x" * 2000)
        with pytest.raises(MeshError) as caught:
            await anext(client.respond(long))
        assert caught.value.status == "RESOURCE_EXHAUSTED"


# What a client of release 0.1.0 sends: `input` was field 2, and `id` field 1.
OLD_RESPOND = b"\x0a\x04demo\x12\x09\x12\x07\x08\x03\x12\x03hey"
OLD_GET = b"\x0a\x06resp_1"


@pytest.mark.parametrize(
    ("method", "request_bytes"),
    [("Respond", OLD_RESPOND), ("GetResponse", OLD_GET), ("DeleteResponse", OLD_GET)],
)
async def test_a_client_of_0_1_0_is_told_to_upgrade(method: str, request_bytes: bytes) -> None:
    async with surroundings() as mesh, served(mesh) as channel:
        metadata = (("authorization", f"Bearer {mesh.key}"),)
        sent: Any = channel.unary_unary(f"/chatmesh.gateway.v1.GatewayService/{method}")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await sent(request_bytes, metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        details = caught.value.details()
        assert details
        assert "upgrade it to 0.2.0" in details


async def test_a_request_that_is_sent_again_is_one_turn(transport: Transport) -> None:
    once = replace(HELLO, once=Once("k", b"digest"))
    async with transport.open(says("one"), says("two")) as here:
        first = await read(here.session, once)
        assert await read(here.session, once) == first
        with pytest.raises(KeyReused):
            await read(here.session, replace(once, instructions="Shout.", once=Once("k", b"2")))
        assert await read(here.session, replace(once, once=Once("k2", b"digest"))) != first
        assert len(here.mesh.inference.generations) == 2
