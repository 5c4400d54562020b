"""The weather from Open-Meteo, which asks for no key: a search for the place, then its forecast."""

from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from services.tool_runner.adapters.places import Place, parted, picked
from services.tool_runner.api import Failure
from services.tool_runner.ports import Conditions, ToolFailed

# Among how many places of one name the one in the right country is looked for.
_CANDIDATES = 50
_CURRENT = ("temperature_2m", "weather_code", "wind_speed_10m")
# WMO code table 4677, as far as Open-Meteo uses it.
_SKIES = {
    0: "clear sky",
    1: "mainly clear",
    2: "partly cloudy",
    3: "overcast",
    45: "fog",
    48: "freezing fog",
    51: "light drizzle",
    53: "drizzle",
    55: "heavy drizzle",
    56: "light freezing drizzle",
    57: "freezing drizzle",
    61: "light rain",
    63: "rain",
    65: "heavy rain",
    66: "light freezing rain",
    67: "freezing rain",
    71: "light snow",
    73: "snow",
    75: "heavy snow",
    77: "snow grains",
    80: "light rain showers",
    81: "rain showers",
    82: "heavy rain showers",
    85: "light snow showers",
    86: "snow showers",
    95: "thunderstorm",
    96: "thunderstorm with hail",
    99: "thunderstorm with heavy hail",
}
_UNREACHABLE = "the weather service cannot be reached"
_NOT_UNDERSTOOD = "the weather service answered in a way that is not understood"


class _PlacesAnswer(BaseModel):
    # Absent where nothing was found.
    results: list[Place] = []


class _WeatherNow(BaseModel):
    temperature_2m: float
    weather_code: int
    wind_speed_10m: float


class _ForecastAnswer(BaseModel):
    current: _WeatherNow


Answer = TypeVar("Answer", bound=BaseModel)


class OpenMeteo:
    """A `WeatherService`. Nothing but the name of the place leaves the mesh."""

    def __init__(
        self, http: httpx.AsyncClient, *, geocoding_url: str, forecast_url: str, max_bytes: int
    ) -> None:
        """`http` must follow no redirects and bound every wait. The URLs name the servers alone."""
        self._http = http
        self._search_url = f"{geocoding_url.rstrip('/')}/v1/search"
        self._forecast_url = f"{forecast_url.rstrip('/')}/v1/forecast"
        self._max_bytes = max_bytes

    async def conditions(self, location: str) -> Conditions | None:
        # The search knows only names: asked for "Paris, France", it finds nothing.
        name, wheres = parted(location)
        count = str(_CANDIDATES if wheres else 1)
        query = {"name": name, "count": count, "language": "en", "format": "json"}
        place = picked((await self._asked(self._search_url, query, _PlacesAnswer)).results, wheres)
        if place is None:
            return None
        query = {
            "latitude": str(place.latitude),
            "longitude": str(place.longitude),
            "current": ",".join(_CURRENT),
            "temperature_unit": "celsius",
            "wind_speed_unit": "kmh",
        }
        now = (await self._asked(self._forecast_url, query, _ForecastAnswer)).current
        sky = _SKIES.get(now.weather_code, f"weather code {now.weather_code}")
        return Conditions(place.title(wheres), now.temperature_2m, sky, now.wind_speed_10m)

    async def _asked(self, url: str, query: dict[str, str], kind: type[Answer]) -> Answer:
        try:
            body = await self._body(url, query)
        except httpx.HTTPError:
            raise ToolFailed(Failure.UNREACHABLE, _UNREACHABLE) from None
        try:
            return kind.model_validate_json(body)
        except ValidationError:
            raise ToolFailed(Failure.FAILED, _NOT_UNDERSTOOD) from None

    async def _body(self, url: str, query: dict[str, str]) -> bytes:
        # Asks for no compression: a small answer could become large in memory.
        headers = {"accept-encoding": "identity"}
        body = bytearray()
        async with self._http.stream("GET", url, params=query, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise ToolFailed(Failure.UNREACHABLE, "the weather service cannot answer now")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._max_bytes:
                    raise ToolFailed(Failure.FAILED, _NOT_UNDERSTOOD)
        return bytes(body)
