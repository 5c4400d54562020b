"""Which replicas there are, which is chosen, and who waits for one."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from services.gateway.api import ModelNotFound, NoReplica
from services.gateway.fleet import Fleet, Pool, Replica
from services.gateway.ports import Inference
from services.gateway.router import Router
from services.inference.api import (
    Delta,
    EngineDead,
    Generation,
    Load,
    Piece,
    QueueFull,
    Report,
    Sampling,
)
from services.shared.background import in_background
from services.shared.errors import MeshError, Unavailable
from services.shared.peers import Peer, Peers
from tests.fakes.mesh import CARD, ScriptedInference

LOAD = Load(0, 0, 0, slots=8, kv_cache_use=0.0, draining=False)
ASKED = Generation("demo", "gen_1", (1, 2, 3), Sampling())
GONE = EngineDead("gone")
A, B, C = Peer("a:1", "pod-a"), Peer("b:1", "pod-b"), Peer("c:1", "pod-c")


class Told(ScriptedInference):
    """Reports what a test tells it to, fails as often, and says its own name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.failures: list[MeshError] = []
        self.asked = 0
        self.opened = 0
        self.waits = asyncio.Event()
        self.waits.set()
        self._reports = asyncio.Queue[Report | Exception]()

    def tell(self, load: Load = LOAD) -> None:
        self.say(Report((CARD,), load))

    def say(self, report: Report) -> None:
        self._reports.put_nowait(report)

    def lose(self, failure: Exception = GONE) -> None:
        self._reports.put_nowait(failure)

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        self.opened += 1
        while isinstance(told := await self._reports.get(), Report):
            yield told
        raise told

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        yield Piece((Delta(0, text=self.name),))
        await self.waits.wait()


@dataclass(slots=True)
class Site:
    fleet: Fleet
    peers: Peers
    replicas: dict[Peer, Told] = field(default_factory=dict)
    now: float = 0
    # The replicas to which a connection was opened, and those to which one is open.
    connected: list[Peer] = field(default_factory=list)
    connections: list[Peer] = field(default_factory=list)
    # No connection is opened while this is not set.
    reachable: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, *serving: Peer) -> None:
        """These have reported, and no others are known."""
        async with asyncio.timeout(5):
            while {r.peer for r in self.known() if r.report} != set(serving):
                await self.fleet.changed.wait()

    async def until_running(self, peer: Peer, running: int) -> None:
        state = self.fleet.pools["only"]
        async with asyncio.timeout(5):
            while state.replicas[peer].load.running != running:
                await self.fleet.changed.wait()

    async def until_open(self, *connections: Peer) -> None:
        async with asyncio.timeout(5):
            while sorted(self.connections) != sorted(connections):
                await self.fleet.changed.wait()

    def known(self) -> Sequence[Replica]:
        return list(self.fleet.pools["only"].replicas.values())

    async def said(self, generation: Generation = ASKED) -> str:
        pieces = [piece async for piece in Router(self.fleet).generate(generation)]
        return "".join(delta.text for piece in pieces for delta in piece.deltas)


@asynccontextmanager
async def site(*peers: Peer, pool: Pool | None = None) -> AsyncIterator[Site]:
    known = Peers(peers)
    made: dict[Peer, Told] = {peer: Told(peer.pod) for peer in (A, B, C)}

    @asynccontextmanager
    async def followed(_: str) -> AsyncIterator[Peers]:
        yield known

    @asynccontextmanager
    async def opened(peer: Peer) -> AsyncIterator[Inference]:
        await here.reachable.wait()
        here.connected.append(peer)
        here.connections.append(peer)
        here.fleet.changed.notify()
        yield made[peer]
        here.connections.remove(peer)
        here.fleet.changed.notify()

    pools = [pool or Pool("only", "x")]
    fleet = Fleet(pools, followed, opened, lambda: here.now, unheard_seconds=0.01)
    here = Site(fleet, known, made)
    here.reachable.set()
    async with in_background(fleet.follow):
        yield here


WAKING = Pool("only", "x", model="demo", context_tokens=1000, calls_tools=True, hold_seconds=5)


async def test_before_the_first_report_no_model_is_there() -> None:
    async with site(A) as here:
        with pytest.raises(Unavailable):
            here.fleet.card("demo")
        assert not here.fleet.serves


async def test_a_model_that_nobody_serves_is_named_with_those_that_are() -> None:
    async with site(A) as here:
        here.replicas[A].tell()
        await here.until(A)
        assert here.fleet.serves
        assert here.fleet.card("demo") == CARD
        with pytest.raises(ModelNotFound, match="served are: demo"):
            here.fleet.card("gpt")


async def test_a_lost_stream_of_reports_is_opened_again_and_the_card_kept_meanwhile() -> None:
    async with site(A) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.replicas[A].lose()
        await here.until()
        assert here.fleet.card("demo") == CARD
        with pytest.raises(NoReplica):
            await here.said()
        here.replicas[A].tell()
        await here.until(A)
        assert here.replicas[A].opened == 2
        assert await here.said() == "pod-a"


async def test_a_model_that_nobody_has_any_more_is_listed_for_a_while() -> None:
    async with site(A) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.peers.become([])
        await here.until_open()
        here.now = 299
        assert here.fleet.cards() == (CARD,)
        here.now = 301
        with pytest.raises(Unavailable):
            here.fleet.cards()
        here.replicas[A].tell()
        here.peers.become([A])
        await here.until(A)
        assert here.fleet.cards() == (CARD,)


async def test_a_replica_that_serves_another_model_now_delists_the_first() -> None:
    async with site(A) as here:
        here.replicas[A].tell()
        await here.until(A)
        other = replace(CARD, id="other")
        here.replicas[A].say(Report((other,), replace(LOAD, running=1)))
        await here.until_running(A, 1)
        assert set(here.fleet.cards()) == {CARD, other}
        here.now = 301
        assert here.fleet.cards() == (other,)


async def test_a_window_is_the_smallest_of_those_who_serve_the_model() -> None:
    async with site(A, B, pool=replace(WAKING, context_tokens=90)) as here:
        assert here.fleet.card("demo").context_tokens == 90
        here.replicas[A].say(Report((replace(CARD, context_tokens=50),), LOAD))
        await here.until(A)
        here.replicas[B].say(Report((replace(CARD, context_tokens=70, calls_tools=False),), LOAD))
        await here.until(A, B)
        card = here.fleet.card("demo")
        assert (card.context_tokens, card.calls_tools) == (50, False)


async def test_the_least_busy_replica_is_chosen() -> None:
    async with site(A, B, C) as here:
        here.replicas[A].tell(replace(LOAD, running=4))
        here.replicas[B].tell(replace(LOAD, running=1, waiting=1))
        here.replicas[C].tell(replace(LOAD, running=2, kv_cache_use=0.5))
        await here.until(A, B, C)
        assert await here.said() == "pod-b"


async def test_of_replicas_that_are_alike_any_is_chosen() -> None:
    """Else what several gateways begin at the same time would all go to one."""
    async with site(A, B, C) as here:
        for peer in (A, B, C):
            here.replicas[peer].tell()
        await here.until(A, B, C)
        assert {await here.said() for _ in range(100)} == {"pod-a", "pod-b", "pod-c"}


async def test_our_own_generations_count_before_they_are_reported() -> None:
    async with site(A, B) as here:
        for peer in (A, B):
            here.replicas[peer].tell()
            here.replicas[peer].waits.clear()
        await here.until(A, B)
        router = Router(here.fleet)
        running = [router.generate(ASKED) for _ in range(4)]
        said = [(await anext(one)).deltas[0].text for one in running]
        assert sorted(said) == ["pod-a", "pod-a", "pod-b", "pod-b"]
        for one in running:
            await one.aclose()
        assert [replica.in_flight for replica in here.known()] == [0, 0]


async def test_our_own_generations_come_on_top_of_what_others_have_there() -> None:
    """Of several gateways; by the greater of both, the next three would all go to the second."""
    async with site(A, B) as here:
        here.replicas[A].tell(replace(LOAD, running=5))
        here.replicas[B].tell(replace(LOAD, running=4))
        for peer in (A, B):
            here.replicas[peer].waits.clear()
        await here.until(A, B)
        router = Router(here.fleet)
        running = [router.generate(ASKED) for _ in range(5)]
        said = [(await anext(one)).deltas[0].text for one in running]
        assert sorted(said) == ["pod-a"] * 2 + ["pod-b"] * 3
        # A report counts ours too: two of our own and five of others, three and none.
        here.replicas[A].tell(replace(LOAD, running=7))
        here.replicas[B].tell(replace(LOAD, running=3))
        await here.until_running(B, 3)
        await here.until_running(A, 7)
        assert [replica.use[0] for replica in here.known()] == [7 / 8, 3 / 8]
        for one in running:
            await one.aclose()
        assert [replica.use[0] for replica in here.known()] == [5 / 8, 0]


async def test_one_that_drains_gets_nothing_new() -> None:
    async with site(A, B) as here:
        here.replicas[A].tell(replace(LOAD, draining=True))
        here.replicas[B].tell(replace(LOAD, running=7))
        await here.until(A, B)
        assert await here.said() == "pod-b"


async def test_one_that_is_let_go_finishes_what_runs_there() -> None:
    async with site(A, B) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.replicas[A].waits.clear()
        running = Router(here.fleet).generate(ASKED)
        assert (await anext(running)).deltas[0].text == "pod-a"
        here.replicas[B].tell()
        here.peers.become([B])
        await here.until(A, B)
        assert await here.said() == "pod-b"
        assert len(here.known()) == 2
        here.replicas[A].waits.set()
        assert [piece async for piece in running] == []
        await here.until(B)


async def test_one_that_comes_back_while_something_runs_there_is_followed_once() -> None:
    async with site(A, B) as here:
        here.replicas[A].tell()
        here.replicas[B].tell(replace(LOAD, running=7))
        await here.until(A, B)
        here.replicas[A].waits.clear()
        running = Router(here.fleet).generate(ASKED)
        await anext(running)
        for known in ([B], [A, B]) * 3:
            here.peers.become(known)
            await here.fleet.changed.wait()
        assert here.connected == [A, B]
        assert here.known()[0].takes("demo")
        here.replicas[A].waits.set()
        assert [piece async for piece in running] == []
        here.peers.become([B])
        await here.until_open(B)


async def test_one_that_comes_and_goes_while_it_is_connected_to_is_followed_once() -> None:
    async with site() as here:
        here.reachable.clear()
        for known in ([A], [A, B], [B]):
            here.peers.become(known)
            await here.fleet.changed.wait()
        here.reachable.set()
        await here.until_open(B)
        assert sorted(here.connected) == [A, B]
        here.peers.become([A])
        await here.until_open(A)


async def test_after_a_bug_a_replica_is_heard_again() -> None:
    async with site(A) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.replicas[A].lose(ValueError("no report"))
        await here.until()
        here.replicas[A].tell()
        await here.until(A)


@pytest.mark.parametrize("failure", [EngineDead("dead"), QueueFull("full", retry_after="2")])
async def test_a_failure_before_the_first_piece_goes_to_another_replica(
    failure: MeshError,
) -> None:
    async with site(A, B) as here:
        for peer in (A, B):
            here.replicas[peer].tell()
        await here.until(A, B)
        here.replicas[A].failures.append(failure)
        assert await here.said() == "pod-b"
        here.replicas[A].failures.append(failure)
        here.replicas[B].failures.append(failure)
        with pytest.raises(type(failure)):
            await here.said()


async def test_a_failure_after_the_first_piece_fails_the_generation() -> None:
    async with site(A, B) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.replicas[A].waits.clear()
        running = Router(here.fleet).generate(ASKED)
        await anext(running)
        with pytest.raises(EngineDead):
            await running.athrow(EngineDead("dead"))
        assert here.replicas[B].asked == 0


async def test_what_is_wrong_with_the_request_is_not_tried_elsewhere() -> None:
    class Wrong(MeshError):
        status = "INVALID_ARGUMENT"

    async with site(A, B) as here:
        for peer in (A, B):
            here.replicas[peer].tell()
            here.replicas[peer].failures.append(Wrong("no"))
        await here.until(A, B)
        with pytest.raises(Wrong):
            await here.said()
        assert here.replicas[A].asked + here.replicas[B].asked == 1


async def test_a_sleeping_pool_is_listed_and_wakes_for_who_waits() -> None:
    async with site(pool=WAKING) as here:
        assert here.fleet.serves
        assert here.fleet.card("demo").calls_tools
        asking = asyncio.create_task(here.said())
        state = here.fleet.pools["only"]
        async with asyncio.timeout(5):
            while not state.held:
                await here.fleet.changed.wait()
        assert (state.held, state.held_tokens) == (1, 3)
        here.replicas[A].tell()
        here.peers.become([A])
        assert await asking == "pod-a"
        assert (state.held, state.held_tokens) == (0, 0)


async def test_who_waits_in_vain_is_told_when_to_come_again() -> None:
    async with site(pool=replace(WAKING, hold_seconds=0.01)) as here:
        with pytest.raises(NoReplica) as refused:
            await here.said()
        assert refused.value.details["retry_after"] == "1"
        assert here.fleet.pools["only"].held == 0


async def test_a_paused_pool_is_not_waited_for_as_long() -> None:
    """Nothing would start a replica: its scaler does not ask while it is paused."""
    scaled = replace(WAKING, scaled=True, hold_seconds=1e6)
    async with site(pool=scaled) as here, asyncio.timeout(5):
        with pytest.raises(NoReplica):
            await here.said()


async def test_the_only_replica_is_waited_for_when_it_dies_and_comes_back() -> None:
    async with site(A, pool=WAKING) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.replicas[A].failures.append(EngineDead("dead"))
        asking = asyncio.create_task(here.said())
        async with asyncio.timeout(5):
            while not here.fleet.pools["only"].held:
                await here.fleet.changed.wait()
        here.replicas[A].lose()
        await here.until()
        here.replicas[A].tell()
        assert await asking == "pod-a"


async def test_one_that_is_full_is_not_waited_for() -> None:
    async with site(A, pool=WAKING) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.replicas[A].failures.append(QueueFull("full", retry_after="2"))
        with pytest.raises(QueueFull):
            await here.said()


async def test_replicas_that_start_are_counted() -> None:
    async with site(A) as here:
        here.replicas[A].tell()
        await here.until(A)
        here.peers.become([A], coming=2)
        async with asyncio.timeout(5):
            while here.fleet.pools["only"].coming != 2:
                await here.fleet.changed.wait()
