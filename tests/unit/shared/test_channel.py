"""Which replicas are called; what is tried again, and what is not."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    suppress,
)

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.moderation.api import Action, Direction, Grown, Release, Verdict
from services.moderation.client import SERVICE, ModerationClient, connect_moderation
from services.moderation.server import ModerationServer
from services.shared.background import in_background
from services.shared.boundary import Boundary
from services.shared.channel import MeshChannel, connect
from services.shared.conversation import Text
from services.shared.errors import DeadlineExceeded, Unavailable
from services.shared.metrics import RpcMetrics
from services.shared.peers import Peer, Peers
from services.shared.scope import Scope
from services.shared.server import Servable, serving
from services.shared.tools import Tool, ToolCall
from services.shared.tracing import Tracer
from services.tool_runner.api import Outcome
from services.tool_runner.client import connect_tool_runner
from services.tool_runner.server import ToolRunnerServer

DOUBLE = ToolCall("call_1", "double", '{"n": 21}')


class PassesAll:
    """A moderation that lets everything pass at once, and counts how often it screened."""

    def __init__(self) -> None:
        self.asked = 0

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self.asked += 1
        return [Verdict(Action.PASS, {}) for _ in texts]

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        async for each in reply:
            yield Release(each.text)
            if each.final:
                return


class Answers42:
    """A tool-runner whose every call brings 42."""

    def __init__(self) -> None:
        self.ran: list[ToolCall] = []

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        return []

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        self.ran.append(call)
        return Outcome((Text("42"),))


class Relaying(PassesAll):
    """Cannot reach what it needs itself."""

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self.asked += 1
        raise Unavailable("the model cannot be reached", service="model")


def served(moderation: PassesAll, port: int = 0) -> AbstractAsyncContextManager[int]:
    return serving_at(port, ModerationServer(moderation))


@asynccontextmanager
async def serving_at(port: int, server: Servable) -> AsyncIterator[int]:
    boundary = Boundary(
        "moderation",
        Tracer("moderation", otlp_endpoint="", sample_ratio=0),
        RpcMetrics(CollectorRegistry()),
    )
    address = f"127.0.0.1:{port}"
    async with serving([server], address, grace=0, interceptors=[boundary]) as bound:
        yield bound


async def screened(client: ModerationClient) -> Sequence[Verdict]:
    return await client.screen(["hello"], Direction.INPUT)


# gRPC retries a call for a second and a half; six attempts to connect last longer.
@pytest.mark.parametrize("attempts", [1, 6])
async def test_a_peer_that_comes_back_soon_is_not_missed(attempts: int) -> None:
    async with AsyncExitStack() as stack:
        async with hanging_up() as (port, called):
            channel = await stack.enter_async_context(connect(f"127.0.0.1:{port}", SERVICE))
            asking = asyncio.create_task(screened(ModerationClient(channel, timeout=20)))
            for _ in range(attempts):
                await called.get()
        await stack.enter_async_context(served(PassesAll(), port))
        assert len(await asking) == 1


@asynccontextmanager
async def hanging_up() -> AsyncIterator[tuple[int, asyncio.Queue[None]]]:
    """A port where every caller is hung up on, and counted; until it is closed.

    Without asyncio's own server: a caller who comes while that closes is left open.
    """
    called = asyncio.Queue[None]()
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        def hang_up() -> None:
            with suppress(BlockingIOError):
                listener.accept()[0].close()
                called.put_nowait(None)

        loop.add_reader(listener, hang_up)
        try:
            yield listener.getsockname()[1], called
        finally:
            loop.remove_reader(listener)


async def test_a_call_that_may_not_be_repeated_is_sent_once_there_is_a_connection() -> None:
    tools = Answers42()
    async with AsyncExitStack() as stack:
        async with hanging_up() as (port, called):
            address = f"127.0.0.1:{port}"
            client = await stack.enter_async_context(connect_tool_runner(address, timeout=20))
            running = asyncio.create_task(client.run(Scope("acme", "main", "ann"), DOUBLE))
            for _ in range(6):
                await called.get()
        await stack.enter_async_context(serving_at(port, ToolRunnerServer(tools)))
        assert (await running).parts == (Text("42"),)
    assert tools.ran == [DOUBLE]


async def test_patience_is_part_of_the_time_that_a_call_may_take() -> None:
    async with hanging_up() as (port, _):
        peers = Peers([Peer(f"127.0.0.1:{port}")], patience_seconds=1000)
        async with MeshChannel(peers, SERVICE) as channel:
            with pytest.raises((Unavailable, DeadlineExceeded)):
                await screened(ModerationClient(channel, timeout=0.1))


async def nobody_found(channel: MeshChannel) -> None:
    async with asyncio.timeout(10):
        while (state := channel.get_state()) is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await channel.wait_for_state_change(state)


async def test_what_a_peer_says_itself_is_not_asked_again() -> None:
    relaying = Relaying()
    async with served(relaying) as port, connect_moderation(f"127.0.0.1:{port}", timeout=20) as one:
        with pytest.raises(Unavailable, match="the model"):
            await screened(one)
    assert relaying.asked == 1


async def spread(client: ModerationClient, *replicas: PassesAll, calls: int = 20) -> list[int]:
    """How many of so many calls each replica got."""
    before = [replica.asked for replica in replicas]
    for _ in range(calls):
        await screened(client)
    return [replica.asked - was for replica, was in zip(replicas, before, strict=True)]


async def test_new_calls_go_to_the_replicas_of_the_moment() -> None:
    one, other = PassesAll(), PassesAll()
    async with served(one) as first, served(other) as second:
        here, there = Peer(f"127.0.0.1:{first}"), Peer(f"127.0.0.1:{second}")
        peers = Peers([here])
        async with MeshChannel(peers, SERVICE) as channel, in_background(channel.follow):
            client = ModerationClient(channel, timeout=20)
            assert await spread(client, one, other) == [20, 0]
            await became(channel, peers, [here, there])
            assert min(await spread(client, one, other)) > 0
            await became(channel, peers, [there])
            assert await spread(client, one, other) == [0, 20]
            peers.become([])
            assert await spread(client, one, other) == [0, 20]


async def test_a_stream_goes_on_where_it_began_when_its_replica_takes_no_more_calls() -> None:
    one, other = PassesAll(), PassesAll()
    async with served(one) as first, served(other) as second:
        peers = Peers([Peer(f"127.0.0.1:{first}")])
        async with MeshChannel(peers, SERVICE) as channel, in_background(channel.follow):
            client = ModerationClient(channel, timeout=20)
            growth = asyncio.Queue[Grown]()
            async with aclosing(client.watch(grown(growth))) as releases:
                growth.put_nowait(Grown("a b c d ", final=False))
                assert (await anext(releases)).text == "a b c d "
                await became(channel, peers, [Peer(f"127.0.0.1:{second}")])
                await screened(client)
                growth.put_nowait(Grown("e", final=True))
                assert (await anext(releases)).text == "e"
            assert (one.asked, other.asked) == (0, 1)


async def grown(growth: asyncio.Queue[Grown]) -> AsyncIterator[Grown]:
    while True:
        yield await growth.get()


async def became(channel: MeshChannel, peers: Peers, known: Sequence[Peer]) -> None:
    """The replicas are others, and the channel has taken note."""
    before = channel.current
    peers.become(known)
    async with asyncio.timeout(5):
        while channel.current is before:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)


async def test_a_call_waits_for_a_replica_to_come_where_there_is_patience() -> None:
    one, other = PassesAll(), PassesAll()
    async with served(one) as first:
        pass
    peers = Peers([Peer(f"127.0.0.1:{first}")], patience_seconds=20)
    async with MeshChannel(peers, SERVICE) as channel, in_background(channel.follow):
        asking = asyncio.create_task(screened(ModerationClient(channel, timeout=20)))
        await nobody_found(channel)
        async with served(other) as second:
            peers.become([Peer(f"127.0.0.1:{second}")])
            assert len(await asking) == 1
    assert (one.asked, other.asked) == (0, 1)


async def test_patience_ends() -> None:
    async with served(PassesAll()) as port:
        pass
    peers = Peers([Peer(f"127.0.0.1:{port}")], patience_seconds=0.01)
    async with MeshChannel(peers, SERVICE) as channel:
        with pytest.raises(Unavailable, match="moderation cannot be reached"):
            await screened(ModerationClient(channel, timeout=20))


async def test_nobody_is_patient_with_what_a_replica_says_itself() -> None:
    relaying = Relaying()
    async with served(relaying) as port:
        peers = Peers([Peer(f"127.0.0.1:{port}")], patience_seconds=20)
        async with MeshChannel(peers, SERVICE) as channel:
            with pytest.raises(Unavailable, match="the model"):
                await screened(ModerationClient(channel, timeout=20))
    assert relaying.asked == 1


async def test_a_channel_that_was_replaced_is_closed_with_the_others() -> None:
    growth: asyncio.Queue[Grown] = asyncio.Queue()
    async with served(PassesAll()) as first, served(PassesAll()) as second:
        peers = Peers([Peer(f"127.0.0.1:{first}")])
        async with MeshChannel(peers, SERVICE) as channel, in_background(channel.follow):
            before = channel.current.channel
            watching = ModerationClient(channel, timeout=20).watch(grown(growth))
            growth.put_nowait(Grown("a", final=False))
            await anext(watching)
            await became(channel, peers, [Peer(f"127.0.0.1:{second}")])
            assert before.get_state() is not grpc.ChannelConnectivity.SHUTDOWN
        assert before.get_state() is grpc.ChannelConnectivity.SHUTDOWN
        await watching.aclose()
