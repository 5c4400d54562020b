"""Every inference pool's replicas: what they serve, how busy they are, and who waits for one."""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import dataclass, field

from services.gateway import holding
from services.gateway.api import ModelNotFound, NoReplica
from services.gateway.model_list import ModelList
from services.gateway.ports import Inference
from services.inference.api import Load, ModelCard, Report
from services.shared.background import failure_of, in_background
from services.shared.errors import Unavailable
from services.shared.peers import Peer, Peers
from services.shared.signal import Signal

_AGAIN_SECONDS = 0.2
# How long a model stays listed that no replica has any more: an engine may take minutes to load.
_LISTED_SECONDS = 300
# How long a request waits for a pool whose scaler does not ask: it is paused or away, or begins.
_UNHEARD_SECONDS = 30
_IDLE = Load(running=0, waiting=0, waiting_tokens=0, slots=1, kv_cache_use=0.0, draining=False)

FollowPeers = Callable[[str], AbstractAsyncContextManager[Peers]]
OpenReplica = Callable[[Peer], AbstractAsyncContextManager[Inference]]


@dataclass(frozen=True, slots=True)
class Pool:
    """Replicas of one model that are scaled together. Several pools may serve one model."""

    name: str
    # In any form that `services.shared.peers.followed` knows.
    address: str
    # The model, told here so that it can be listed while no replica is there. Empty: the replicas
    # say it, and without one it is not listed.
    model: str = ""
    context_tokens: int = 0
    calls_tools: bool = False
    reasons: bool = False
    summarises: bool = False
    # How long a request waits for a replica when there is none, in seconds; 0: it fails at once.
    hold_seconds: float = 0
    # How long a replica may take to come once it is needed, the node for it included, in seconds.
    wake_seconds: float = 0
    # Whether KEDA decides how many replicas there are.
    scaled: bool = False

    @property
    def card(self) -> ModelCard | None:
        if not self.model:
            return None
        return ModelCard(
            self.model,
            self.context_tokens,
            calls_tools=self.calls_tools,
            reasons=self.reasons,
            summarises=self.summarises,
            created_at=0,
        )


class Replica:
    """One replica; `in_flight` counts our own generations there.

    A report counts everybody's. What we have sent since then comes on top of what others have
    there: else all that begins between two reports would go to one replica.
    """

    def __init__(self, peer: Peer, inference: Inference) -> None:
        self.peer = peer
        self.inference = inference
        self.report: Report | None = None
        self.in_flight = 0
        # How many of those there were when the last report came.
        self._reported_ours = 0
        # Its pool no longer has it. What runs there may end; nothing more is sent to it.
        self.left = False
        # How often its stream of reports began. It begins again when the replica was restarted.
        self.starts = 0

    @property
    def load(self) -> Load:
        return self.report.load if self.report else _IDLE

    @property
    def use(self) -> tuple[float, float]:
        """How busy it is: by slots, then by KV cache."""
        load = self.load
        others = max(0, load.running + load.waiting - self._reported_ours)
        return (others + self.in_flight) / load.slots, load.kv_cache_use

    def learn(self, report: Report | None) -> None:
        self.report = report
        self._reported_ours = self.in_flight

    def takes(self, model: str) -> bool:
        if self.left or self.report is None or self.load.draining:
            return False
        return any(card.id == model for card in self.report.models)

    @contextmanager
    def working(self) -> Iterator[None]:
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


# A replica, and which of its starts. One that failed may be asked again after it was restarted.
ReplicaStart = tuple[Replica, int]


@dataclass(slots=True)
class PoolState:
    """A pool, and what is there of it now."""

    pool: Pool
    # Those that the pool has now.
    known: Collection[Peer] = ()
    # Those that are followed, each by one task: also one that is being connected to, and one that
    # has left while something of ours still runs there.
    followed: set[Peer] = field(default_factory=set)
    replicas: dict[Peer, Replica] = field(default_factory=dict)
    # Replicas that start and take no calls yet.
    coming: int = 0
    # Requests that wait for a replica, and the tokens of their prompts.
    held: int = 0
    held_tokens: int = 0
    # How many scalers follow whether it is needed. KEDA does not while the pool is paused.
    scalers: int = 0
    # The same at other gateways, which tell the scaler what is held here too.
    scalers_elsewhere: int = 0

    @property
    def unheard(self) -> bool:
        """Whether nobody would start a replica, however many requests wait."""
        return self.pool.scaled and not (self.scalers or self.scalers_elsewhere)

    @property
    def reported(self) -> Sequence[Replica]:
        return [replica for replica in self.replicas.values() if replica.report]

    @property
    def cards(self) -> Sequence[ModelCard]:
        """What its replicas say of their models, and what the pool says where none of them does."""
        said = [
            card
            for replica in self.replicas.values()
            if replica.report and not replica.left
            for card in replica.report.models
        ]
        told = self.pool.card
        return said if told is None or any(card.id == told.id for card in said) else [*said, told]


class Fleet:
    """Kept current by the reports that replicas push; nobody is polled."""

    def __init__(
        self,
        pools: Sequence[Pool],
        follow_peers: FollowPeers,
        open_replica: OpenReplica,
        clock: Callable[[], float] = time.monotonic,
        unheard_seconds: float = _UNHEARD_SECONDS,
    ) -> None:
        self.pools = {pool.name: PoolState(pool) for pool in pools}
        self.changed = Signal()
        self._follow_peers = follow_peers
        self._open_replica = open_replica
        self._unheard_seconds = unheard_seconds
        self._list = ModelList(clock, kept_seconds=_LISTED_SECONDS)

    @property
    def serves(self) -> bool:
        """Whether some request could be answered now, be it after a wait."""
        replicas = (one for state in self.pools.values() for one in state.reported)
        return any(state.pool.card for state in self.pools.values()) or any(
            not replica.load.draining for replica in replicas
        )

    def cards(self) -> Sequence[ModelCard]:
        """A model that several serve has what is common to them, such as the smallest window."""
        if not (cards := self._list.cards(self._there())):
            raise Unavailable("no model is loaded yet", service="inference")
        return cards

    def card(self, model: str) -> ModelCard:
        known = {card.id: card for card in self.cards()}
        if model not in known:
            names = ", ".join(sorted(known))
            raise ModelNotFound(f"no such model; served are: {names}", param="model")
        return known[model]

    async def pick(
        self,
        model: str,
        prompt_tokens: int,
        without: Collection[ReplicaStart] = (),
        *,
        wait: bool = True,
    ) -> Replica:
        """The least busy replica of the model; with `wait`, it may be waited for.

        Raises `NoReplica`.
        """
        if found := self._best(model, without):
            return found
        waking = self._waking(model)
        if waking is None or not wait:
            raise NoReplica(f"no replica serves {model} now", service="inference", retry_after="1")
        holding.tell()
        waking.held += 1
        waking.held_tokens += prompt_tokens
        self.changed.notify()
        try:
            return await self._waited_for(model, without, waking)
        finally:
            waking.held -= 1
            waking.held_tokens -= prompt_tokens
            self.changed.notify()

    async def follow(self) -> None:
        """Follows every pool, for ever."""
        async with asyncio.TaskGroup() as group:
            for state in self.pools.values():
                group.create_task(self._follow_pool(state))

    async def wait_served(self) -> None:
        """Returns once a replica has reported."""
        while not any(state.reported for state in self.pools.values()):
            await self.changed.wait()

    def _there(self) -> Sequence[ModelCard]:
        return [card for state in self.pools.values() for card in state.cards]

    def _best(self, model: str, without: Collection[ReplicaStart]) -> Replica | None:
        able = [
            replica
            for state in self.pools.values()
            for replica in state.replicas.values()
            if replica.takes(model) and (replica, replica.starts) not in without
        ]
        # Of those that are alike, any: several gateways would all choose the first.
        return min(able, key=lambda replica: (*replica.use, random.random()), default=None)  # noqa: S311

    def _waking(self, model: str) -> PoolState | None:
        """The first pool of the model that lets requests wait until it has a replica again.

        Its scaler sees the requests that wait, and starts one. A pool whose scaler does not ask is
        the last choice.
        """
        able = [
            state
            for state in self.pools.values()
            if state.pool.model == model and state.pool.hold_seconds
        ]
        return min(able, key=lambda state: state.unheard, default=None)

    async def _waited_for(
        self, model: str, without: Collection[ReplicaStart], waking: PoolState
    ) -> Replica:
        """Shorter while no scaler asks for the pool. Raises `NoReplica`."""
        now, seconds = asyncio.get_running_loop().time, waking.pool.hold_seconds
        begun = now()
        end = begun + seconds
        try:
            async with asyncio.timeout_at(end) as limit:
                while True:
                    if found := self._best(model, without):
                        return found
                    soon = min(limit.when() or end, now() + self._unheard_seconds)
                    limit.reschedule(soon if waking.unheard else end)
                    await self.changed.wait()
        except TimeoutError:
            raise NoReplica(
                f"no replica of {model} came within {now() - begun:.0f} seconds",
                service="inference",
                retry_after=f"{max(1, seconds):.0f}",
            ) from None

    async def _follow_pool(self, state: PoolState) -> None:
        async with self._follow_peers(state.pool.address) as peers, asyncio.TaskGroup() as group:
            while True:
                self._list.remember(self._there())
                state.known, state.coming = peers.known, peers.coming
                for replica in state.replicas.values():
                    replica.left = replica.peer not in state.known
                for peer in [each for each in state.known if each not in state.followed]:
                    state.followed.add(peer)
                    group.create_task(self._follow_replica(state, peer))
                self.changed.notify()
                await peers.changed()

    async def _follow_replica(self, state: PoolState, peer: Peer) -> None:
        """Keeps a replica's reports, as long as its pool has it or something of ours runs there."""
        async with self._open_replica(peer) as inference:
            state.replicas[peer] = replica = Replica(peer, inference)
            replica.left = peer not in state.known
            async with in_background(lambda: self._hear(replica)):
                try:
                    while not replica.left or replica.in_flight:
                        await self.changed.wait()
                finally:
                    # At once: if the peer comes back from now on, it is followed anew.
                    del state.replicas[peer]
                    state.followed.discard(peer)
                    self.changed.notify()

    async def _hear(self, replica: Replica) -> None:
        """A stream of reports that is lost is opened again."""
        while True:
            replica.starts += 1
            # Each call to the replica raises its own error; a report is only missed.
            await failure_of(self._hear_once(replica))
            self._learn(replica, None)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _hear_once(self, replica: Replica) -> None:
        async with aclosing(replica.inference.watch_load()) as reports:
            async for report in reports:
                self._learn(replica, report)

    def _learn(self, replica: Replica, report: Report | None) -> None:
        if replica.report and (report is None or report.models != replica.report.models):
            self._list.remember(self._there())
        replica.learn(report)
        self.changed.notify()
