import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from services.tool_runner.adapters.open_meteo import OpenMeteo
from services.tool_runner.api import Failure
from services.tool_runner.ports import Conditions, ToolFailed
from tests.fakes.tool_runner import (
    FORECAST,
    SEARCH,
    OpenMeteoServer,
    http_answer,
    open_meteo_server,
)

MAX_BYTES = 4_000


@pytest.fixture
async def server() -> AsyncIterator[OpenMeteoServer]:
    async with open_meteo_server() as fake:
        yield fake


@pytest.fixture
async def weather(server: OpenMeteoServer) -> AsyncIterator[OpenMeteo]:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        yield _weather(http, server.url)


def _weather(http: httpx.AsyncClient, url: str) -> OpenMeteo:
    return OpenMeteo(http, geocoding_url=url, forecast_url=f"{url}/", max_bytes=MAX_BYTES)


async def test_asks_for_the_place_then_for_its_weather(
    server: OpenMeteoServer, weather: OpenMeteo
) -> None:
    found = await weather.conditions("Paris, Texas")
    assert found == Conditions("Paris, Texas, United States", 12.3, "light rain", 14.4)
    assert server.asked == [
        (SEARCH, {"name": "Paris", "count": "50", "language": "en", "format": "json"}),
        (
            FORECAST,
            {
                "latitude": "33.66094",
                "longitude": "-95.55551",
                "current": "temperature_2m,weather_code,wind_speed_10m",
                "temperature_unit": "celsius",
                "wind_speed_unit": "kmh",
            },
        ),
    ]


@pytest.mark.parametrize("location", ["Atlantis", "Paris, Germany", "Zürich & co=1#?"])
async def test_finds_no_place_that_is_not_there(weather: OpenMeteo, location: str) -> None:
    assert await weather.conditions(location) is None


async def test_what_is_asked_stays_one_parameter(
    server: OpenMeteoServer, weather: OpenMeteo
) -> None:
    await weather.conditions("Zürich & co=1#?")
    assert server.asked[0][1]["name"] == "Zürich & co=1#?"


async def test_a_weather_code_without_words_is_told_as_it_is(
    server: OpenMeteoServer, weather: OpenMeteo
) -> None:
    server.answers[FORECAST] = http_answer(
        '{"current": {"temperature_2m": 1, "weather_code": 42, "wind_speed_10m": 2}}'
    )
    found = await weather.conditions("Paris")
    assert found is not None
    assert found.sky == "weather code 42"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        '{"current": {}}',
        '{"current": {"temperature_2m": null, "weather_code": 1, "wind_speed_10m": 2}}',
        " " * (MAX_BYTES + 1) + "{}",
    ],
)
async def test_an_odd_answer_is_not_understood(
    server: OpenMeteoServer, weather: OpenMeteo, body: str
) -> None:
    server.answers[FORECAST] = http_answer(body)
    with pytest.raises(ToolFailed) as caught:
        await weather.conditions("Paris")
    assert caught.value.failure is Failure.FAILED
    assert caught.value.sentence == "the weather service answered in a way that is not understood"


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(
            '{"error": true, "reason": "Daily API request limit"}', "429 Too Many Requests"
        ),
        http_answer("{}", "503 Service Unavailable"),
        http_answer("", "302 Found", "location: http://127.0.0.1:1/elsewhere"),
    ],
)
async def test_a_refusal_is_unreachable_and_no_redirect_is_followed(
    server: OpenMeteoServer, weather: OpenMeteo, answer: bytes
) -> None:
    server.answers[SEARCH] = answer
    with pytest.raises(ToolFailed) as caught:
        await weather.conditions("Paris")
    assert caught.value.failure is Failure.UNREACHABLE
    assert caught.value.sentence == "the weather service cannot answer now"


@pytest.mark.parametrize("answer", [b"no http at all\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_a_broken_connection_is_unreachable(
    server: OpenMeteoServer, weather: OpenMeteo, answer: bytes
) -> None:
    server.answers[SEARCH] = answer
    with pytest.raises(ToolFailed, match="the weather service cannot be reached"):
        await weather.conditions("Paris")


async def test_nobody_there_is_unreachable() -> None:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        with pytest.raises(ToolFailed) as caught:
            await _weather(http, "http://127.0.0.1:1").conditions("Paris")
    assert caught.value.failure is Failure.UNREACHABLE
    assert caught.value.sentence == "the weather service cannot be reached"


async def test_a_service_that_says_nothing_is_unreachable(server: OpenMeteoServer) -> None:
    server.hold()
    async with httpx.AsyncClient(timeout=0.05, trust_env=False) as http:
        with pytest.raises(ToolFailed) as caught:
            await _weather(http, server.url).conditions("Paris")
    assert caught.value.failure is Failure.UNREACHABLE


async def test_being_cancelled_hangs_up(server: OpenMeteoServer, weather: OpenMeteo) -> None:
    server.hold()
    asking = asyncio.create_task(weather.conditions("Paris"))
    await asyncio.wait_for(server.reached.wait(), 5)
    asking.cancel()
    await asyncio.wait_for(server.left.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_place_is_not_logged_where_logs_are_kept(
    weather: OpenMeteo, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await weather.conditions("Canarytown")
    assert "Canarytown" not in caplog.text
