"""Tells the other gateways what is asked here, and the fleet what is asked there."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from services.gateway.fleet import Fleet
from services.gateway.ports import Demand, OtherGateways
from services.gateway.scaling.scaler import Scaler
from services.shared.background import failure_of

# How often a gateway tells what is asked of it, at least and at most, in seconds.
_SELDOM, _OFTEN = 1.0, 0.1


class DemandSharing:
    """Tells at once what somebody waits for, since it wakes a pool. Rates can wait."""

    def __init__(self, scaler: Scaler, fleet: Fleet, others: OtherGateways) -> None:
        self._scaler = scaler
        self._fleet = fleet
        self._others = others
        # What the others were known to ask.
        self._known: tuple[Demand, ...] = ()

    async def tell(self) -> None:
        """For ever."""
        while True:
            demand = self._scaler.own_demand()
            # Of a failure the limiter, the journal and the adapter tell.
            await failure_of(self._others.tell(demand))
            # Also where somebody has gone, of which nobody tells.
            self.learn()
            await asyncio.sleep(_OFTEN)
            with suppress(TimeoutError):
                async with asyncio.timeout(_SELDOM - _OFTEN):
                    while _urgent(self._scaler.own_demand()) == _urgent(demand):
                        await self._fleet.changed.wait()

    async def hear(self) -> None:
        """For ever."""
        while True:
            changed = self._others.changed.wait()
            self.learn()
            await changed

    def learn(self) -> None:
        known = tuple(self._others.demands())
        if known == self._known:
            return
        self._known = known
        for name, state in self._fleet.pools.items():
            told = (other.pools.get(name) for other in known)
            state.scalers_elsewhere = sum(pool.scalers for pool in told if pool)
        self._fleet.changed.notify()


def _urgent(demand: Demand) -> Mapping[str, object]:
    return {
        name: (pool.held, pool.scalers, bool(pool.in_flight), bool(pool.awaited_seconds))
        for name, pool in demand.pools.items()
    }
