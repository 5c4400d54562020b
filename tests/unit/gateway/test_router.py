"""Which replica generates, and when another one is asked."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from services.gateway.api import NoReplica
from services.gateway.fleet import Fleet, Pool
from services.gateway.ports import Inference
from services.gateway.router import Router
from services.inference.api import (
    Calling,
    Delta,
    Generation,
    Load,
    Parsed,
    Piece,
    QueueFull,
    Report,
    Sampling,
    UnsupportedParameter,
)
from services.shared.background import in_background
from services.shared.errors import MeshError, Unavailable
from services.shared.peers import Peer, Peers
from tests.fakes.mesh import CARD

GENERATION = Generation("demo", "gen_1", (1, 2), Sampling())


class Replica:
    """An `Inference` that says its name, or fails before or after the first piece."""

    def __init__(
        self, name: str, failure: MeshError | None = None, *, after: int = 0, running: int = 0
    ) -> None:
        self.name = name
        self.failure = failure
        self.after = after
        self.asked = 0
        self._load = Load(running, 0, 0, slots=8, kv_cache_use=0.0, draining=False)

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.asked += 1
        for number in range(3):
            if self.failure and number == self.after:
                raise self.failure
            yield Piece((Delta(0, (1,), self.name),))

    async def parse(self, *asked: object) -> Parsed:
        return Parsed(self.name, "", ())

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        yield Report((CARD,), self._load)
        await asyncio.Event().wait()


@asynccontextmanager
async def routed(*replicas: Replica) -> AsyncIterator[Router]:
    by_address = {f"{replica.name}:1": replica for replica in replicas}

    @asynccontextmanager
    async def followed(_: str) -> AsyncIterator[Peers]:
        yield Peers([Peer(address) for address in by_address])

    @asynccontextmanager
    async def opened(peer: Peer) -> AsyncIterator[Inference]:
        yield by_address[peer.address]

    fleet = Fleet([Pool("only", "here")], followed, opened)
    async with in_background(fleet.follow):
        while sum(len(state.reported) for state in fleet.pools.values()) < len(replicas):
            await fleet.changed.wait()
        yield Router(fleet)


async def texts(router: Router) -> list[str]:
    async with aclosing(router.generate(GENERATION)) as pieces:
        return [piece.deltas[0].text async for piece in pieces]


async def test_the_least_busy_replica_generates() -> None:
    async with routed(Replica("busy", running=4), Replica("idle")) as router:
        assert await texts(router) == ["idle"] * 3


@pytest.mark.parametrize("failure", [Unavailable("gone"), QueueFull("full", retry_after="1")])
async def test_another_is_asked_where_one_fails_before_its_first_piece(failure: MeshError) -> None:
    broken = Replica("broken", failure)
    async with routed(broken, Replica("sound", running=4)) as router:
        assert await texts(router) == ["sound"] * 3
        assert broken.asked == 1


async def test_nothing_is_repeated_after_the_first_piece() -> None:
    broken, sound = Replica("broken", Unavailable("gone"), after=1), Replica("sound", running=4)
    async with routed(broken, sound) as router:
        with pytest.raises(Unavailable, match="gone"):
            await texts(router)
        assert sound.asked == 0


async def test_what_every_replica_would_refuse_is_asked_once() -> None:
    refusing = [Replica(f"r{n}", UnsupportedParameter("no", param="seed")) for n in range(3)]
    async with routed(*refusing) as router:
        with pytest.raises(UnsupportedParameter):
            await texts(router)
        assert sum(replica.asked for replica in refusing) == 1


async def test_three_attempts_are_the_most() -> None:
    broken = [Replica(f"r{n}", QueueFull("full", retry_after="1")) for n in range(5)]
    async with routed(*broken) as router:
        with pytest.raises(QueueFull):
            await texts(router)
        assert sum(replica.asked for replica in broken) == 3


async def test_why_the_last_one_failed_says_more_than_that_there_is_no_other() -> None:
    async with routed(Replica("broken", QueueFull("full", retry_after="1"))) as router:
        with pytest.raises(QueueFull, match="full"):
            await texts(router)


async def test_a_model_without_replicas_is_said_to_have_none() -> None:
    async with routed(Replica("one")) as router:
        unknown = Generation("other", "gen_1", (1,), Sampling())
        with pytest.raises(NoReplica):
            await anext(router.generate(unknown))


async def test_any_replica_of_the_model_reads_what_another_wrote() -> None:
    async with routed(Replica("busy", running=4), Replica("idle")) as router:
        assert (await router.parse("demo", (1,), (2,), Calling())).text == "idle"
