"""A watch whose replicas are lost, one after the other, goes on at the next one."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import pytest
from prometheus_client import CollectorRegistry

from services.moderation.api import Direction, Grown, Release, Verdict
from services.moderation.client import connect_moderation
from services.moderation.server import ModerationServer
from services.shared.boundary import Boundary
from services.shared.errors import Unavailable
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tracing import Tracer


class LostBetweenReleases:
    """Releases each growth at once, but so many watches end before they release the second."""

    def __init__(self, times: int) -> None:
        self._times = times
        self.watches = 0
        # Of the last watch.
        self.judged: list[bool] = []

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        raise NotImplementedError

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        self.watches += 1
        number = 0
        self.judged.clear()
        async for each in reply:
            self.judged.append(each.judged)
            number += 1
            if number == 2 and self.watches <= self._times:
                raise Unavailable("moderation ends", service="moderation")
            yield Release(each.text)
            if each.final:
                return


async def watched(moderation: LostBetweenReleases) -> list[str]:
    async def reply() -> AsyncIterator[Grown]:
        yield Grown("one ", final=False)
        yield Grown("two", final=True)

    tracer = Tracer("test", otlp_endpoint="", sample_ratio=1)
    boundary = Boundary("moderation", tracer, RpcMetrics(CollectorRegistry()))
    server = ModerationServer(moderation)
    async with (
        serving([server], "localhost:0", grace=0, interceptors=[boundary]) as port,
        connect_moderation(f"localhost:{port}", timeout=20) as client,
    ):
        return [release.text async for release in client.watch(reply())]


async def test_a_watch_goes_on_when_two_replicas_are_lost_in_turn() -> None:
    moderation = LostBetweenReleases(3)
    assert await watched(moderation) == ["one ", "two"]
    assert moderation.watches == 4
    assert moderation.judged == [True, False], "only what was answered counts as judged"


async def test_a_reply_that_no_replica_outlives_ends() -> None:
    moderation = LostBetweenReleases(9)
    with pytest.raises(Unavailable):
        await watched(moderation)
    assert moderation.watches == 4
