"""How many replicas pools and services need, in the terms of KEDA's external scalers.

A trigger names a `pool` or a `service`. Every metric is a total over all replicas; KEDA divides it
by the target for one replica, and the largest number of replicas that comes of it counts.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress

from services.gateway.activity import Activity
from services.gateway.admission import Admission
from services.gateway.fleet import Fleet, PoolState, Replica
from services.gateway.ports import Demand, OtherGateways, PoolDemand
from services.shared.errors import Malformed, NotFound

# What one replica should have, where the trigger says nothing of that kind at all.
_POOL_TARGETS = {"queuedTokens": 8192.0, "slotsPercent": 80.0, "kvPercent": 90.0}
_SERVICE_TARGETS = {
    "gateway": {"turns": 100.0},
    "tokenizer": {"tokensPerSecond": 20_000.0},
    "moderation": {"charactersPerSecond": 20_000.0},
    "tool-runner": {"runningTools": 16.0},
}
# Slots of a replica that has not reported yet.
_UNKNOWN_SLOTS = 8

Trigger = Mapping[str, str]


class UnknownTarget(NotFound):
    """No pool or service of that name is scaled here."""


class Scaler:
    """Answers from what the gateway knows anyway, and what the others have told it.

    So the answer is the same whichever gateway is asked.
    """

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        activity: Activity,
        others: OtherGateways,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._admission = admission
        self._activity = activity
        self._others = others
        self._clock = clock
        # When a pool without a replica was last needed.
        self._needed_at: dict[str, float] = {}

    def active(self, trigger: Trigger) -> bool:
        """Whether it needs a replica at all: somebody waits or runs, or one is on its way.

        A pod that waits for its node is seen nowhere here. So a pool that was needed stays active
        for as long as a replica may take to come, or until one is there.
        """
        if "service" in trigger:
            self._service(trigger)
            return True
        state = self._pool(trigger)
        needed = self._busy(state) or self._overflows(state)
        if needed and not state.reported:
            self._needed_at[state.pool.name] = self._clock()
        return needed or self._awaited_seconds(state) > 0

    def own_demand(self) -> Demand:
        """What this gateway asks, for the others."""
        return Demand(
            turns=self._admission.under_way,
            tokens_per_second=self._activity.tokens.per_second,
            characters_per_second=self._activity.characters.per_second,
            running_tools=self._activity.tools_running,
            pools={name: self._own_of(state) for name, state in self._fleet.pools.items()},
        )

    def _own_of(self, state: PoolState) -> PoolDemand:
        flying = {one.peer.address: one.in_flight for one in state.replicas.values()}
        return PoolDemand(
            state.held,
            state.held_tokens,
            {address: count for address, count in flying.items() if count},
            state.scalers,
            self._own_awaited_seconds(state),
        )

    async def activity(self, trigger: Trigger) -> AsyncGenerator[bool, None]:
        """`active`, now and at every change. While it is read, the pool counts as scaled."""
        state = None if "service" in trigger else self._pool(trigger)
        self._heard(state, 1)
        try:
            told = None
            while True:
                active = self.active(trigger)
                if active != told:
                    yield (told := active)
                waits = self._awaited_seconds(state) if state else 0
                with suppress(TimeoutError):
                    async with asyncio.timeout(waits or None):
                        await self._fleet.changed.wait()
        finally:
            self._heard(state, -1)

    def _heard(self, state: PoolState | None, more: int) -> None:
        if state:
            state.scalers += more
            self._fleet.changed.notify()

    def _awaited_seconds(self, state: PoolState) -> float:
        """How much longer a replica of the pool may take to come; 0: none is awaited."""
        own = self._own_awaited_seconds(state)
        if state.reported:
            return 0
        return max([own, *(pool.awaited_seconds for pool in self._elsewhere(state))])

    def _own_awaited_seconds(self, state: PoolState) -> float:
        """By what this gateway was asked."""
        if state.reported:
            self._needed_at.pop(state.pool.name, None)
        needed_at = self._needed_at.get(state.pool.name)
        if needed_at is None:
            return 0
        return max(0.0, needed_at + state.pool.wake_seconds - self._clock())

    def _elsewhere(self, state: PoolState) -> Sequence[PoolDemand]:
        told = (other.pools.get(state.pool.name) for other in self._others.demands())
        return [pool for pool in told if pool]

    def _held(self, state: PoolState) -> int:
        return state.held + sum(pool.held for pool in self._elsewhere(state))

    def _busy(self, state: PoolState) -> bool:
        loads = [replica.load for replica in state.reported]
        busy = any(load.running or load.waiting for load in loads)
        flying = any(replica.in_flight for replica in state.replicas.values())
        flying = flying or any(pool.in_flight for pool in self._elsewhere(state))
        return bool(self._held(state) or state.coming or busy or flying)

    def _use(self, state: PoolState, replica: Replica) -> float:
        """By slots, as `Replica.use`, with what the other gateways have sent there."""
        flying = [pool.in_flight.get(replica.peer.address, 0) for pool in self._elsewhere(state)]
        load = replica.load
        return max(load.running + load.waiting, replica.in_flight + sum(flying)) / load.slots

    def _overflows(self, state: PoolState) -> bool:
        """Whether it is the next pool to take what those that serve its model have no slot for."""
        model = state.pool.model
        pools = [each for each in self._fleet.pools.values() if model and each.pool.model == model]
        asleep = [each for each in pools if not each.reported and not each.unheard]
        if state not in asleep[:1]:
            return False
        uses = [
            self._use(each, one)
            for each in pools
            for one in each.replicas.values()
            if one.takes(model)
        ]
        return bool(uses) and all(use >= 1 for use in uses)

    def targets(self, trigger: Trigger) -> Mapping[str, float]:
        """What one replica should have, by metric."""
        usual = _POOL_TARGETS
        if "service" in trigger:
            self._service(trigger)
            usual = _SERVICE_TARGETS[trigger["service"]]
        else:
            self._pool(trigger)
        said = usual.keys() & trigger.keys()
        return {
            name: _positive(trigger, name, value)
            for name, value in usual.items()
            if name in said or not said
        }

    def metrics(self, trigger: Trigger) -> Mapping[str, float]:
        """What all replicas have together, by metric."""
        if "service" in trigger:
            return self._service(trigger)
        state = self._pool(trigger)
        replicas = state.reported
        slots = [replica.load.slots for replica in replicas] or [_UNKNOWN_SLOTS]
        waiting = sum(replica.load.waiting_tokens for replica in replicas)
        held = self._held(state) * len(slots) / sum(slots)
        used = sum(self._use(state, replica) for replica in replicas) + held
        held_tokens = sum(pool.held_tokens for pool in self._elsewhere(state))
        return {
            "queuedTokens": waiting + state.held_tokens + held_tokens,
            "slotsPercent": 100 * used,
            "kvPercent": 100 * sum(replica.load.kv_cache_use for replica in replicas),
        }

    def _pool(self, trigger: Trigger) -> PoolState:
        name = trigger.get("pool", "")
        if name not in self._fleet.pools:
            known = ", ".join(sorted(self._fleet.pools))
            raise UnknownTarget(f"the trigger's pool is not known; known are: {known}")
        return self._fleet.pools[name]

    def _service(self, trigger: Trigger) -> Mapping[str, float]:
        """The metrics of a service."""
        asked = [self.own_demand(), *self._others.demands()]
        services: Mapping[str, Mapping[str, float]] = {
            "gateway": {"turns": sum(each.turns for each in asked)},
            "tokenizer": {"tokensPerSecond": sum(each.tokens_per_second for each in asked)},
            "moderation": {
                "charactersPerSecond": sum(each.characters_per_second for each in asked)
            },
            "tool-runner": {"runningTools": sum(each.running_tools for each in asked)},
        }
        if trigger["service"] not in services:
            known = ", ".join(sorted(services))
            raise UnknownTarget(f"the trigger's service is not scaled here; those are: {known}")
        return services[trigger["service"]]


def _positive(trigger: Trigger, name: str, usual: float) -> float:
    try:
        value = float(trigger.get(name, usual))
    except ValueError:
        value = 0
    if not value > 0:
        raise Malformed(f"{name} must be a positive number", param=name)
    return value
