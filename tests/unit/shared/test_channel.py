"""What is tried again, and what is not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import pytest
from prometheus_client import CollectorRegistry

from services.moderation.api import Direction, Verdict
from services.moderation.client import SERVICE, ModerationClient, connect_moderation
from services.moderation.server import ModerationServer
from services.shared.boundary import Boundary
from services.shared.channel import MeshChannel, connect
from services.shared.errors import Unavailable
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tracing import Tracer
from tests.fakes.mesh import WordModeration


class Relaying(WordModeration):
    """Cannot reach what it needs itself."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self.asked += 1
        raise Unavailable("the model cannot be reached", service="model")


@asynccontextmanager
async def served(moderation: WordModeration, port: int = 0) -> AsyncIterator[int]:
    boundary = Boundary(
        "moderation",
        Tracer("moderation", otlp_endpoint="", sample_ratio=0),
        RpcMetrics(CollectorRegistry()),
    )
    server = ModerationServer(moderation)
    address = f"127.0.0.1:{port}"
    async with serving([server], address, grace=0, interceptors=[boundary]) as bound:
        yield bound


async def screened(client: ModerationClient) -> Sequence[Verdict]:
    return await client.screen(["hello"], Direction.INPUT)


async def test_a_peer_that_comes_back_within_a_second_is_not_missed() -> None:
    async with served(WordModeration()) as port:
        pass
    async with connect(f"127.0.0.1:{port}", SERVICE) as channel:
        asking = asyncio.create_task(screened(ModerationClient(channel, timeout=20)))
        await nobody_found(channel)
        async with served(WordModeration(), port):
            assert len(await asking) == 1


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
