"""Tools, a weather service, and a loopback server that speaks Open-Meteo's format."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from services.shared.conversation import Text, text_of
from services.shared.scope import Scope
from services.tool_runner.api import Failure, Outcome
from services.tool_runner.ports import Arguments, Conditions, Declaration, Permission

SEARCH = "/v1/search"
FORECAST = "/v1/forecast"


def said(text: str, failure: Failure | None = None) -> Outcome:
    """An outcome of one text."""
    return Outcome((Text(text),), failure)


def words(outcome: Outcome) -> str:
    return text_of(outcome.parts)


class FakeWeatherService:
    """Knows two places called Paris, with the same weather; tells what it was asked."""

    def __init__(
        self, *, celsius: float = 12.3, sky: str = "light rain", wind_kmh: float = 14.4
    ) -> None:
        self.asked: list[str] = []
        self._conditions = Conditions("", celsius, sky, wind_kmh)

    async def conditions(self, location: str) -> Conditions | None:
        self.asked.append(location)
        places = {"Paris": "Paris, France", "Paris, Texas": "Paris, Texas, United States"}
        return replace(self._conditions, place=places[location]) if location in places else None


class WaitingTool:
    """Never ends by itself."""

    def __init__(self, name: str = "wait") -> None:
        schema = {"type": "object", "properties": {}, "required": []}
        self.declaration = Declaration(name, "Wait.", schema)
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError("nobody ends the wait")


class EchoTool:
    """Says what it is told."""

    def __init__(self, name: str = "echo", permission: Permission = Permission.EVERYBODY) -> None:
        self.declaration = Declaration(
            name,
            "Say it again.",
            {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
            },
            permission,
        )

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        text: str = arguments["text"]
        return text


PARIS = {
    "id": 2988507,
    "name": "Paris",
    "latitude": 48.85341,
    "longitude": 2.3488,
    "elevation": 42.0,
    "feature_code": "PPLC",
    "country_code": "FR",
    "admin1_id": 3012874,
    "admin2_id": 2968815,
    "timezone": "Europe/Paris",
    "population": 2138551,
    "postcodes": ["75000", "75001"],
    "country_id": 3017382,
    "country": "France",
    "admin1": "Île-de-France",
    "admin2": "Paris",
}
PARIS_TEXAS = {
    "id": 4717560,
    "name": "Paris",
    "latitude": 33.66094,
    "longitude": -95.55551,
    "elevation": 183.0,
    "feature_code": "PPLA2",
    "country_code": "US",
    "admin1_id": 4736286,
    "admin2_id": 4705086,
    "timezone": "America/Chicago",
    "population": 24171,
    "postcodes": ["75460"],
    "country_id": 6252001,
    "country": "United States",
    "admin1": "Texas",
    "admin2": "Lamar",
}
SINGAPORE = {
    "id": 1880252,
    "name": "Singapore",
    "latitude": 1.28967,
    "longitude": 103.85007,
    "country_code": "SG",
    "country": "Singapore",
}
_PLACES: Sequence[Mapping[str, Any]] = (PARIS, PARIS_TEXAS, SINGAPORE)


def _search(query: Mapping[str, str]) -> dict[str, Any]:
    """Matches names only, and leaves `results` out when there are none, as the real one does."""
    found = [place for place in _PLACES if place["name"].lower() == query["name"].lower()]
    results = {"results": found[: int(query["count"])]} if found else {}
    return {**results, "generationtime_ms": 0.66}


def _forecast(query: Mapping[str, str]) -> dict[str, Any]:
    units = {"temperature_2m": "°C", "weather_code": "wmo code", "wind_speed_10m": "km/h"}
    now = {"temperature_2m": 12.3, "weather_code": 61, "wind_speed_10m": 14.4}
    return {
        "latitude": float(query["latitude"]),
        "longitude": float(query["longitude"]),
        "generationtime_ms": 0.05,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "timezone_abbreviation": "GMT",
        "elevation": 42.0,
        "current_units": {"time": "iso8601", "interval": "seconds", **_asked(units, query)},
        "current": {"time": "2026-11-22T14:00", "interval": 900, **_asked(now, query)},
    }


def _asked(values: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    return {name: values[name] for name in query["current"].split(",")}


class OpenMeteoServer:
    """What is set in `answers` for a path, status line to body, is said instead of the truth."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answers: dict[str, bytes] = {}
        self.reached = asyncio.Event()
        self.left = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()

    def hold(self) -> None:
        """From now on clients wait, until they leave or may go on."""
        self._free.clear()
        self.reached.clear()
        self.left.clear()

    def go_on(self) -> None:
        self._free.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = urlsplit(head.split(b" ", 2)[1].decode())
        query = dict(parse_qsl(target.query))
        self.asked.append((target.path, query))
        self.reached.set()
        if await self._stays(reader):
            writer.write(self.answers.get(target.path) or self._truth(target.path, query))
        else:
            self.left.set()
        writer.close()

    async def _stays(self, reader: asyncio.StreamReader) -> bool:
        """Waits until the client may go on; false if it leaves first."""
        if self._free.is_set():
            return True
        waiting = [asyncio.ensure_future(self._free.wait()), asyncio.ensure_future(reader.read())]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        return waiting[0] in done

    def _truth(self, path: str, query: Mapping[str, str]) -> bytes:
        return http_answer(json.dumps((_search if path == SEARCH else _forecast)(query)))


def http_answer(body: str, status: str = "200 OK", *headers: str) -> bytes:
    sent = body.encode()
    head = [f"HTTP/1.1 {status}", f"content-length: {len(sent)}", "connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + sent


@asynccontextmanager
async def open_meteo_server(port: int = 0) -> AsyncIterator[OpenMeteoServer]:
    fake = OpenMeteoServer()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", port)
    host, port = server.sockets[0].getsockname()
    fake.url = f"http://{host}:{port}"
    async with server:
        yield fake
