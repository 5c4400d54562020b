"""Moderation, reached over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

from chatmesh.moderation.v1 import moderation_pb2 as pb
from chatmesh.moderation.v1 import moderation_pb2_grpc as pb_grpc

from services.moderation import codec
from services.moderation.api import Direction, Grown, Release, Verdict
from services.shared.background import in_background
from services.shared.channel import MeshChannel, connect
from services.shared.errors import Unavailable
from services.shared.signal import Signal
from services.shared.wire_errors import mesh_errors

# Of a watch between two releases: two replicas may be lost one after the other, and a third one may
# take no more calls.
_MOST_FAILURES = 4
SERVICE = pb.DESCRIPTOR.services_by_name["ModerationService"]


class ModerationClient:
    """`Moderation` over gRPC."""

    def __init__(self, channel: MeshChannel, *, timeout: float) -> None:
        self._stub = pb_grpc.ModerationServiceStub(channel)
        self._channel = channel
        self._timeout = timeout

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        with mesh_errors("moderation"):
            request = codec.screen_out(texts, direction)
            response = await self._stub.Screen(request, timeout=self._timeout)
        return codec.verdicts_in(response)

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        """A watch whose replica leaves goes on at another, which is told all that had grown.

        Moderation says the same of the same words: what was released is not released again, nor
        scored. All watches of a replica come at once, and long replies would wait for each other.
        """
        growth = _Growth()
        released, failed_at, failures = 0, -1, 0
        async with in_background(partial(growth.hear, reply)):
            while True:
                try:
                    async with aclosing(self._watched(growth, released)) as releases:
                        place = 0
                        async for release in releases:
                            place += 1
                            if place > released:
                                released = place
                                yield release
                    return
                except Unavailable:
                    # Whoever fails so often at the same place would fail there for ever.
                    failures = failures + 1 if failed_at == released else 1
                    if failures == _MOST_FAILURES:
                        raise
                    failed_at = released
                    await self._channel.connected(self._timeout)

    async def _watched(self, growth: "_Growth", judged: int) -> AsyncGenerator[Release, None]:
        with mesh_errors("moderation"):
            # No timeout: the watch lasts as long as the reply, which has a deadline of its own.
            call = self._stub.Watch(growth.told(judged))
            try:
                async for response in call:
                    yield codec.release_in(response)
            finally:
                call.cancel()


class _Growth:
    """What a reply has grown by, for any number of watches, one after the other."""

    def __init__(self) -> None:
        self._grown: list[Grown] = []
        self._more = Signal()

    async def hear(self, reply: AsyncIterator[Grown]) -> None:
        async for grown in reply:
            self._grown.append(grown)
            self._more.notify()

    async def told(self, judged: int) -> AsyncIterator[pb.WatchRequest]:
        """So many of the first have been answered."""
        place = 0
        while True:
            if place == len(self._grown):
                await self._more.wait()
                continue
            yield codec.grown_out(replace(self._grown[place], judged=place < judged))
            if self._grown[place].final:
                return
            place += 1


@asynccontextmanager
async def connect_moderation(address: str, *, timeout: float) -> AsyncIterator[ModerationClient]:
    async with connect(address, SERVICE) as channel:
        yield ModerationClient(channel, timeout=timeout)
