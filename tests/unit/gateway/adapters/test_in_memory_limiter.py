from dataclasses import replace

from services.gateway.adapters.in_memory_limiter import InMemoryLimiter
from services.gateway.ports import Bucket, Reservation

PERSON = Bucket("person:", requests_per_minute=5)


async def turn(limiter: InMemoryLimiter, number: int, bucket: Bucket) -> None:
    """A turn of a person who never comes again, ten in a second."""
    named = replace(bucket, name=f"person:{number}")
    reserved = Reservation(f"resp_{number}", "acme", [named], 10, seconds=600)
    await limiter.reserve(reserved, number / 10)
    await limiter.settle(replace(reserved, tokens=12), number / 10 + 1)


async def test_whoever_has_not_come_for_a_minute_is_forgotten() -> None:
    limiter = InMemoryLimiter()
    for number in range(20_000):
        await turn(limiter, number, PERSON)
    assert limiter.known <= 5_000


async def test_who_has_a_budget_is_remembered() -> None:
    limiter = InMemoryLimiter()
    for number in range(3_000):
        await turn(limiter, number, replace(PERSON, tokens_per_month=1_000))
    assert limiter.known == 3_000
