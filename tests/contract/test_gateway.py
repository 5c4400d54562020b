"""One suite for a session in process and over the public gRPC endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.context_assembly.api import ConversationItems, Paging
from services.gateway.api import (
    Ask,
    ChoiceEnded,
    Completed,
    EventsGone,
    Failed,
    Finish,
    InputBlocked,
    InvalidKey,
    InvalidRequest,
    KeyReused,
    ModelNotFound,
    NotCancellable,
    Once,
    OwnTools,
    Response,
    ResponseNotFound,
    Session,
    Started,
    Status,
    TextDelta,
    TurnCancelled,
    TurnEvent,
)
from services.gateway.client import GatewayClient
from services.gateway.guard import OutputModeration
from services.gateway.server import GatewayServer
from services.inference.api import (
    Delta,
    EngineDead,
    FormatKind,
    OutputFormat,
    Piece,
    QueueFull,
    Sampling,
    TokenLogprob,
    UnsupportedParameter,
)
from services.shared.boundary import Boundary
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Message,
    Reasoning,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.errors import DeadlineExceeded, Malformed, MeshError
from services.shared.metrics import RpcMetrics
from services.shared.server import MAX_MESSAGE_BYTES, serving
from services.shared.tools import (
    TEXT_PARAMETERS,
    TextInput,
    TextSyntax,
    Tool,
    ToolChoice,
    ToolMode,
)
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
    async def open(
        self, *scripts: Script, mode: OutputModeration = OutputModeration.BLOCK
    ) -> AsyncIterator[Opened]:
        async with surroundings(*scripts, mode=mode) as mesh:
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


TEXTS = {FormatKind.JSON_OBJECT: "", FormatKind.JSON_SCHEMA: "{}"}
FORMATS = [OutputFormat(kind, TEXTS.get(kind, "x")) for kind in FormatKind]
TAKEN = [
    TextInput(),
    TextInput(TextSyntax.REGEX, "[0-9]+"),
    TextInput(TextSyntax.LARK, "start: /a/"),
]


async def test_formats_and_functions_that_take_a_text_arrive(transport: Transport) -> None:
    functions = tuple(
        Tool(f"f{number}", "Takes.", TEXT_PARAMETERS, text_input=taken)
        for number, taken in enumerate(TAKEN)
    )
    sampling = Sampling(top_logprobs=2, presence_penalty=0.5, frequency_penalty=-0.5)
    async with transport.open(*[says("ok") for _ in FORMATS]) as here:
        for wanted in FORMATS:
            ask = replace(HELLO, functions=functions, format=wanted, sampling=sampling)
            assert isinstance((await read(here.session, ask))[-1], Completed)
            generation = here.mesh.inference.generations[-1]
            assert (generation.format, generation.calling.tools) == (wanted, functions)
            assert replace(generation.sampling, max_tokens=None) == sampling


async def test_sealed_reasoning_is_read_again(transport: Transport) -> None:
    async with transport.open(says("4", reasoning="2+2"), says("ok")) as here:
        events = await read(here.session, replace(HELLO, store=False, seals_reasoning=True))
        assert isinstance(events[-1], Completed)
        thought = events[-1].response.output[0]
        assert isinstance(thought, Reasoning)
        assert thought.opaque
        again = replace(HELLO, input=(replace(thought, text="changed"), *HELLO.input))
        await read(here.session, again)
        assert here.mesh.context.assemblies[-1].input[0] == thought
        (last,) = await read(here.session, replace(again, input=(replace(thought, opaque="x"),)))
        assert isinstance(last, Failed)
        assert last.details["param"] == "input[0].encrypted_content"


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


def background(*texts: str) -> Script:
    """Says the texts, and waits before the last of them for a test's word."""
    return replace(says(*texts), pause_before=len(texts) - 1)


async def begun(here: Opened, script: Script) -> str:
    """The id of a turn in the background, whose only reader has left while the model waits."""
    ask = replace(HELLO, background=True, own_tools=None)
    async with aclosing(here.session.respond(ask)) as events:
        start = (await anext(events)).event
        await asyncio.wait_for(script.paused.wait(), 5)
    assert isinstance(start, Started)
    assert (start.background, start.stored) == (True, True)
    return start.response_id


async def test_a_turn_in_the_background_is_seen_under_way(transport: Transport) -> None:
    script = background("a", "b")
    async with transport.open(script) as here:
        response_id = await begun(here, script)
        under_way = await here.session.get_response(response_id)
        assert (under_way.status, under_way.background) == (Status.IN_PROGRESS, True)
        (item,) = (await here.session.list_input_items(response_id, Paging())).items
        assert item == HELLO.input[0]
        script.go_on.set()
        assert [each async for each in here.session.follow(response_id)]
        assert (await here.session.get_response(response_id)).status is Status.COMPLETED


async def test_a_cancelled_turn_keeps_what_it_has_said(transport: Transport) -> None:
    script = background("a", "b")
    async with transport.open(script, mode=OutputModeration.OFF) as here:
        response_id = await begun(here, script)
        cancelled = await here.session.cancel(response_id)
        assert await here.session.cancel(response_id) == cancelled
        assert await here.session.get_response(response_id) == cancelled
        assert (cancelled.status, here.mesh.inference.aborted) == (Status.CANCELLED, 1)
        (item,) = cancelled.output
        assert isinstance(item, Message)
        assert (item.text, cancelled.unfinished) == ("a", frozenset({item.id}))
        last = [each.event async for each in here.session.follow(response_id)][-1]
        assert last == cancelled.error
        assert isinstance(last, Failed)
        assert isinstance(last.error(), TurnCancelled)


async def test_a_turn_in_the_background_that_fails_is_kept(transport: Transport) -> None:
    script = Script(says("a").pieces[:1], failure=EngineDead("the engine has died"))
    async with transport.open(script, mode=OutputModeration.OFF) as here:
        events = await read(here.session, replace(HELLO, background=True))
        assert isinstance(events[0], Started)
        failed = await here.session.get_response(events[0].response_id)
        assert (failed.status, failed.error) == (Status.FAILED, events[-1])
        with pytest.raises(NotCancellable):
            await here.session.cancel(failed.id)


DYING = EngineDead("the engine has died")


async def test_a_turn_that_fails_while_it_is_read_is_kept(transport: Transport) -> None:
    broken = Script(says("one").pieces[:1], failure=DYING)
    async with transport.open(broken, says("two"), mode=OutputModeration.OFF) as here:
        start, *_, last = await read(here.session, HELLO)
        assert isinstance(start, Started)
        failed = await here.session.get_response(start.response_id)
        assert (failed.status, failed.error, failed.background) == (Status.FAILED, last, False)
        (item,) = failed.output
        assert isinstance(item, Message)
        assert (item.text, failed.unfinished) == ("one", frozenset({item.id}))
        page = await here.session.list_input_items(failed.id, Paging())
        assert page.items == HELLO.input
        with pytest.raises(InvalidRequest):
            await here.session.cancel(failed.id)
        again = replace(HELLO, previous_response_id=failed.id)
        assert isinstance((await read(here.session, again))[-1], Completed)
        assert here.mesh.context.assemblies[-1].parent_id == failed.id
        await here.session.delete_response(failed.id)
        with pytest.raises(ResponseNotFound):
            await here.session.get_response(failed.id)
        with pytest.raises(ResponseNotFound):
            await anext(here.session.follow(failed.id))


async def test_a_turn_that_its_reader_has_left_is_kept_as_cancelled(transport: Transport) -> None:
    script = background("a", "b")
    async with transport.open(script, mode=OutputModeration.OFF) as here:
        async with aclosing(here.session.respond(HELLO)) as events:
            start = (await anext(events)).event
            await asyncio.wait_for(script.paused.wait(), 5)
        await asyncio.wait_for(here.mesh.inference.idle.wait(), 5)
        assert isinstance(start, Started)
        session = await here.mesh.front.session(here.mesh.key)
        assert isinstance([e.event async for e in session.follow(start.response_id)][-1], Failed)
        left = await here.session.get_response(start.response_id)
        assert (left.status, left.background) == (Status.CANCELLED, False)
        assert [item.text for item in left.output if isinstance(item, Message)] == ["a"]


@pytest.mark.parametrize(
    ("failure", "ask"),
    [
        (DYING, replace(HELLO, store=False)),
        (QueueFull("come again", retry_after="1"), HELLO),
        (UnsupportedParameter("is wrong", param="top_p"), HELLO),
    ],
    ids=["not to be stored", "overloaded", "refused"],
)
async def test_a_turn_that_is_no_response_is_not_kept(
    transport: Transport, failure: MeshError, ask: Ask
) -> None:
    async with transport.open(Script((), failure=failure)) as here:
        start, *_ = await read(here.session, ask)
        assert isinstance(start, Started)
        with pytest.raises(ResponseNotFound):
            await here.session.get_response(start.response_id)
        assert here.mesh.context.recorded == []


async def test_a_turn_that_fails_with_its_conversation_is_not_kept(transport: Transport) -> None:
    script = background("a", "b")
    async with transport.open(script, mode=OutputModeration.OFF) as here:
        card = await here.session.create_conversation(Ask(model="", input=()), {})
        ask = replace(HELLO, conversation=card.id)
        async with aclosing(here.session.respond(ask)) as events:
            start = (await anext(events)).event
            await asyncio.wait_for(script.paused.wait(), 5)
            await here.session.delete_conversation(card.id)
            script.go_on.set()
            last = [numbered.event async for numbered in events][-1]
        assert isinstance(start, Started)
        assert isinstance(last, Failed)
        with pytest.raises(ResponseNotFound):
            await here.session.get_response(start.response_id)


async def test_only_turns_in_the_background_are_cancelled(transport: Transport) -> None:
    async with transport.open(says("ok")) as here:
        start, *_ = await read(here.session, HELLO)
        assert isinstance(start, Started)
        with pytest.raises(InvalidRequest):
            await here.session.cancel(start.response_id)


async def test_erasing_a_turn_stops_it(transport: Transport) -> None:
    script = background("a", "b")
    async with transport.open(script) as here:
        response_id = await begun(here, script)
        await here.session.delete_response(response_id)
        assert here.mesh.inference.aborted == 1
        for attempt in (
            here.session.get_response(response_id),
            here.session.cancel(response_id),
            here.session.delete_response(response_id),
            here.session.list_input_items(response_id, Paging()),
        ):
            with pytest.raises(ResponseNotFound):
                await attempt


async def test_a_turn_in_the_background_has_to_be_stored(transport: Transport) -> None:
    async with transport.open() as here:
        (last,) = await read(here.session, replace(HELLO, background=True, store=False))
        assert isinstance(last, Failed)
        assert (last.status, last.details) == ("INVALID_ARGUMENT", {"param": "background"})


async def test_input_items_are_listed_page_by_page(transport: Transport) -> None:
    items = tuple(said(f"msg_{number}", Role.USER, "x") for number in range(3))
    async with transport.open(says("ok")) as here:
        start, *_ = await read(here.session, replace(HELLO, input=items))
        assert isinstance(start, Started)
        page = await here.session.list_input_items(start.response_id, Paging(limit=2))
        assert page == ConversationItems((items[2], items[1]), has_more=True)
        rest = await here.session.list_input_items(start.response_id, Paging(after="msg_1"))
        assert rest == ConversationItems((items[0],), has_more=False)
        oldest = Paging(limit=1, newest_first=False)
        assert (await here.session.list_input_items(start.response_id, oldest)).items == items[:1]
        with pytest.raises(InvalidRequest) as caught:
            await here.session.list_input_items(start.response_id, Paging(after="msg_9"))
        assert caught.value.details["param"] == "after"


async def test_input_is_counted_and_nothing_is_run(transport: Transport) -> None:
    async with transport.open() as here:
        assert await here.session.count_input(HELLO) == 2
        with pytest.raises(InvalidRequest) as caught:
            await here.session.count_input(replace(HELLO, input=()))
        assert caught.value.details["param"] == "input"
        with pytest.raises(ModelNotFound):
            await here.session.count_input(replace(HELLO, model="other"))
        assert not here.mesh.inference.generations


async def test_whoever_has_another_project_finds_nothing(transport: Transport) -> None:
    script = background("a", "b")
    async with transport.open(script) as here:
        response_id = await begun(here, script)
        key = await here.mesh.authenticator.create_key(replace(PERSON, id="acct_9"))
        stranger = await here.mesh.front.session(key)
        for attempt in (
            stranger.get_response(response_id),
            stranger.cancel(response_id),
            stranger.delete_response(response_id),
            stranger.list_input_items(response_id, Paging()),
        ):
            with pytest.raises(ResponseNotFound):
                await attempt
        assert here.mesh.inference.aborted == 0


async def test_a_callers_deadline_bounds_its_reading() -> None:
    """Over gRPC, whoever has waited long enough is a reader who has left."""
    script = background("a", "b")
    async with surroundings(script) as mesh, served(mesh) as channel:
        client = GatewayClient(channel, mesh.key, timeout=5)
        events = client.respond(HELLO, timeout=0.5)
        with pytest.raises(DeadlineExceeded):
            async for _ in events:
                pass
        assert script.paused.is_set()
        await asyncio.wait_for(mesh.inference.idle.wait(), 5)
        assert mesh.inference.aborted == 1


async def test_grpc_bounds_a_page() -> None:
    async with surroundings() as mesh, served(mesh) as channel:
        client = GatewayClient(channel, mesh.key, timeout=5)
        for limit in (0, 101):
            with pytest.raises(Malformed) as caught:
                await client.list_input_items("resp_1", Paging(limit=limit))
            assert caught.value.details["param"] == "limit"


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
            stranger.cancel("resp_1"),
            stranger.list_input_items("resp_1", Paging()),
            stranger.count_input(HELLO),
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
