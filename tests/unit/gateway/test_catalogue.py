import asyncio
from collections.abc import AsyncGenerator

import pytest

from services.gateway.api import ModelNotFound
from services.gateway.catalogue import Catalogue
from services.inference.api import EngineDead, Load, Report
from services.shared.background import in_background
from services.shared.errors import Unavailable
from tests.fakes.mesh import CARD, ScriptedInference

LOAD = Load(0, 0, 0, slots=8, kv_cache_use=0.0, draining=False)


class Flaky(ScriptedInference):
    """Its report stream breaks whenever a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = asyncio.Event()
        self.opened = 0

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        self.opened += 1
        yield Report((CARD,), LOAD)
        await self.broken.wait()
        self.broken.clear()
        raise EngineDead("gone")


def test_before_the_first_report_it_says_that_no_model_is_there() -> None:
    with pytest.raises(Unavailable):
        Catalogue(ScriptedInference()).card("demo")


async def test_a_lost_stream_is_opened_again_and_cards_are_kept_meanwhile() -> None:
    inference = Flaky()
    catalogue = Catalogue(inference)
    async with in_background(catalogue.follow):
        await asyncio.wait_for(catalogue.wait_connected(), 5)
        inference.broken.set()
        while catalogue.connected:  # noqa: ASYNC110 - the event under test is its being cleared
            await asyncio.sleep(0)
        assert catalogue.card("demo") == CARD
        await asyncio.wait_for(catalogue.wait_connected(), 5)
    assert inference.opened == 2


async def test_a_model_that_is_not_served_is_named_with_those_that_are() -> None:
    catalogue = Catalogue(ScriptedInference())
    async with in_background(catalogue.follow):
        await asyncio.wait_for(catalogue.wait_connected(), 5)
        with pytest.raises(ModelNotFound, match="demo, toolless"):
            catalogue.card("gpt")
