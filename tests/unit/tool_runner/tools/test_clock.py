from datetime import UTC, datetime

import pytest

from services.shared.scope import Scope
from services.tool_runner.api import Failure
from services.tool_runner.ports import ToolFailed
from services.tool_runner.tools.clock import Clock


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(lambda: datetime(2026, 11, 22, 14, 5, 9, tzinfo=UTC))


@pytest.mark.parametrize(
    ("timezone", "told"),
    [
        ("UTC", "Sunday 2026-11-22 14:05:09 UTC"),
        ("Europe/Paris", "Sunday 2026-11-22 15:05:09 Europe/Paris"),
        ("Asia/Tokyo", "Sunday 2026-11-22 23:05:09 Asia/Tokyo"),
        ("Pacific/Auckland", "Monday 2026-11-23 03:05:09 Pacific/Auckland"),
        ("Asia/Kathmandu", "Sunday 2026-11-22 19:50:09 Asia/Kathmandu"),
        ("america/new york", "Sunday 2026-11-22 09:05:09 America/New_York"),
        (" ", "Sunday 2026-11-22 14:05:09 UTC"),
    ],
)
async def test_tells_the_time_of_a_zone(clock: Clock, timezone: str, told: str) -> None:
    assert await clock.run(Scope("acme", "main"), {"timezone": timezone}) == told


async def test_tells_utc_when_no_zone_is_named(clock: Clock) -> None:
    assert await clock.run(Scope("acme", "main"), {}) == "Sunday 2026-11-22 14:05:09 UTC"


@pytest.mark.parametrize(
    ("timezone", "sentence"),
    [
        ("Paris", 'unknown time zone "Paris"; close to it is Europe/Paris'),
        ("France/Paris", 'unknown time zone "France/Paris"; close to it is Europe/Paris'),
        ("New York", 'unknown time zone "New York"; close to it is America/New_York'),
        ("Europe/Berlni", 'unknown time zone "Europe/Berlni"; close to it is Europe/Berlin'),
        ("Q", 'unknown time zone "Q"'),
        ("x" * 65, "unknown time zone"),
    ],
)
async def test_names_a_zone_close_to_an_unknown_one(
    clock: Clock, timezone: str, sentence: str
) -> None:
    with pytest.raises(ToolFailed) as caught:
        await clock.run(Scope("acme", "main"), {"timezone": timezone})
    assert caught.value.sentence == sentence
    assert caught.value.failure is Failure.FAILED


@pytest.mark.parametrize("timezone", ["../../etc/passwd", "/etc/passwd", "\x00", "Europe", "."])
async def test_reads_no_other_file(clock: Clock, timezone: str) -> None:
    with pytest.raises(ToolFailed, match="unknown time zone"):
        await clock.run(Scope("acme", "main"), {"timezone": timezone})
