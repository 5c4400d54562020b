"""Real gateways killed and paused under streams; a small `make gateway-faults`."""

from pathlib import Path

import pytest

from loadtest.gateways.faults import Plan, Tally, run, site

pytestmark = pytest.mark.timeout(300)
SMALL = Plan(streams=8, words=120, pace=20, kills=2, pauses=1)


async def tallied(folder: Path, plan: Plan) -> Tally:
    with site(folder, plan) as here:
        return await run(here, plan)


async def test_readers_lose_nothing_and_get_nothing_twice(tmp_path: Path) -> None:
    tally = await tallied(tmp_path, SMALL)
    assert (tally.kills, tally.pauses) == (2, 1)
    assert tally.taken_over > 0, "no turn was under way in a gateway that died"
    assert tally.fenced > 0, "no paused gateway tried to write"
    assert tally.resumed
    assert (tally.lost, tally.doubled, tally.wrong, tally.failed) == (0, 0, 0, {})
    assert tally.whole >= SMALL.streams


async def test_without_the_fence_readers_get_words_twice(tmp_path: Path) -> None:
    """The test above would see it."""
    plan = Plan(streams=8, words=120, pace=20, kills=0, pauses=3, fenced=False)
    tally = await tallied(tmp_path, plan)
    assert tally.taken_over > 0
    assert tally.doubled + tally.lost + tally.wrong > 0
