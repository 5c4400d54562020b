import pytest

from services.shared.chat import Scope
from services.tool_runner.api import Failure
from services.tool_runner.ports import Conditions, ToolFailed
from services.tool_runner.tools.weather import Weather

SCOPE = Scope("acme")


class Station:
    """Knows Oslo."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def conditions(self, location: str) -> Conditions | None:
        self.asked.append(location)
        return Conditions("Oslo, Norway", -3.04, "snow", 13.6) if location == "Oslo" else None


async def test_tells_the_weather_in_a_line() -> None:
    told = await Weather(Station()).run(SCOPE, {"location": " Oslo "})
    assert told == "Oslo, Norway: -3.0 °C, snow, wind 14 km/h"


async def test_says_which_place_was_not_found() -> None:
    with pytest.raises(ToolFailed) as caught:
        await Weather(Station()).run(SCOPE, {"location": "Olso"})
    assert caught.value.sentence == 'no place called "Olso" was found'
    assert caught.value.failure is Failure.FAILED


@pytest.mark.parametrize("location", ["", "  ", "a" * 101])
async def test_asks_nobody_about_what_cannot_be_a_place(location: str) -> None:
    station = Station()
    with pytest.raises(ToolFailed) as caught:
        await Weather(station).run(SCOPE, {"location": location})
    assert caught.value.failure is Failure.INVALID_ARGUMENTS
    assert not station.asked
