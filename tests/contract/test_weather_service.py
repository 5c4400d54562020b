"""What every weather service does: Open-Meteo's adapter and the fake one."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.tool_runner.adapters.open_meteo import OpenMeteo
from services.tool_runner.ports import Conditions, WeatherService
from tests.fakes.tool_runner import FakeWeatherService, open_meteo_server


@pytest.fixture(params=["Open-Meteo", "fake"])
async def weather(request: pytest.FixtureRequest) -> AsyncIterator[WeatherService]:
    if request.param == "fake":
        yield FakeWeatherService()
        return
    async with open_meteo_server() as server, httpx.AsyncClient(trust_env=False) as http:
        yield OpenMeteo(http, geocoding_url=server.url, forecast_url=server.url, max_bytes=10_000)


async def test_tells_the_weather_of_the_place_that_is_meant(weather: WeatherService) -> None:
    for location, place in (
        ("Paris", "Paris, France"),
        ("Paris, Texas", "Paris, Texas, United States"),
    ):
        expected = Conditions(place, celsius=12.3, sky="light rain", wind_kmh=14.4)
        assert await weather.conditions(location) == expected


async def test_knows_no_place_of_another_name(weather: WeatherService) -> None:
    assert await weather.conditions("Atlantis") is None
