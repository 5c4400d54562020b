import pytest

from services.shared.scope import Scope
from services.tool_runner.api import Failure
from services.tool_runner.ports import ToolFailed
from services.tool_runner.tools.weather import Weather
from tests.fakes.tool_runner import FakeWeatherService

SCOPE = Scope("acme", "main")


async def test_tells_the_weather_in_a_line() -> None:
    service = FakeWeatherService(celsius=-3.04, sky="snow", wind_kmh=13.6)
    told = await Weather(service).run(SCOPE, {"location": " Paris "})
    assert told == "Paris, France: -3.0 °C, snow, wind 14 km/h"


async def test_says_which_place_was_not_found() -> None:
    with pytest.raises(ToolFailed) as caught:
        await Weather(FakeWeatherService()).run(SCOPE, {"location": "Olso"})
    assert caught.value.sentence == 'no place called "Olso" was found'
    assert caught.value.failure is Failure.FAILED


@pytest.mark.parametrize("location", ["", "  ", "a" * 101])
async def test_asks_nobody_about_what_cannot_be_a_place(location: str) -> None:
    service = FakeWeatherService()
    with pytest.raises(ToolFailed) as caught:
        await Weather(service).run(SCOPE, {"location": location})
    assert caught.value.failure is Failure.INVALID_ARGUMENTS
    assert not service.asked
