"""Limits that all gateways keep together, and what counts where that is not possible."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace

from services.gateway.adapters.in_memory_limiter import InMemoryLimiter
from services.gateway.ports import Bucket, Limiter, Reservation, Verdict
from services.shared.redis import RedisUnavailable


class FallbackLimiter:
    """`Limiter` that, where the shared one is lost, gives this gateway its share of each limit."""

    def __init__(self, shared: Limiter, gateways: Callable[[], int]) -> None:
        self._shared = shared
        self._gateways = gateways
        self._here = InMemoryLimiter()

    async def reserve(self, wanted: Reservation, now: float) -> Verdict:
        try:
            return await self._shared.reserve(wanted, now)
        except RedisUnavailable:
            return await self._here.reserve(self._part(wanted), now)

    async def settle(self, used: Reservation, now: float) -> None:
        await self._here.settle(used, now)
        with suppress(RedisUnavailable):
            await self._shared.settle(used, now)

    def _part(self, wanted: Reservation) -> Reservation:
        gateways = max(1, self._gateways())
        buckets = [_part(bucket, gateways) for bucket in wanted.buckets]
        return replace(wanted, buckets=buckets)


def _part(bucket: Bucket, gateways: int) -> Bucket:
    """At least 1 of whatever is limited: nothing is shut for all."""
    limits = {
        each.name: max(1, getattr(bucket, each.name) // gateways)
        for each in fields(bucket)
        if each.name != "name" and getattr(bucket, each.name)
    }
    return replace(bucket, **limits)
