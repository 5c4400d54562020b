"""`weather`: the weather at a place now."""

from services.shared.scope import Scope
from services.tool_runner.api import Failure
from services.tool_runner.ports import Arguments, Declaration, ToolFailed, WeatherService

_MAX_CHARS = 100


class Weather:
    declaration = Declaration(
        name="weather",
        description="Current weather for a place.",
        parameters={
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    )

    def __init__(self, service: WeatherService) -> None:
        self._service = service

    async def run(self, _: Scope, arguments: Arguments) -> str:
        location = arguments["location"].strip()
        if not location or len(location) > _MAX_CHARS:
            raise ToolFailed(Failure.INVALID_ARGUMENTS, "the location must be the name of a place")
        found = await self._service.conditions(location)
        if found is None:
            raise ToolFailed(Failure.FAILED, f'no place called "{location}" was found')
        return f"{found.place}: {found.celsius:.1f} °C, {found.sky}, wind {found.wind_kmh:.0f} km/h"
