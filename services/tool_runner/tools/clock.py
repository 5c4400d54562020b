"""`clock`: the date and time in any zone of the IANA database."""

import difflib
import zoneinfo
from collections.abc import Callable
from datetime import datetime

from services.shared.scope import Scope
from services.tool_runner.api import Failure
from services.tool_runner.ports import Arguments, Declaration, ToolFailed

_MAX_CHARS = 64


class Clock:
    declaration = Declaration(
        name="clock",
        description="Tell the current date and time.",
        parameters={
            "type": "object",
            "properties": {
                "timezone": {
                    "type": "string",
                    "description": "IANA name such as Europe/Paris; UTC when left out",
                }
            },
            "required": [],
        },
    )

    def __init__(self, now: Callable[[], datetime]) -> None:
        """`now` returns the time with its zone."""
        self._now = now
        self._zones = {_key(name): name for name in sorted(zoneinfo.available_timezones())}
        self._cities = {key.rpartition("/")[2]: key for key in self._zones}

    async def run(self, _: Scope, arguments: Arguments) -> str:
        name = self._zone(arguments.get("timezone", "").strip() or "UTC")
        now = self._now().astimezone(zoneinfo.ZoneInfo(name))
        return f"{now:%A %Y-%m-%d %H:%M:%S} {name}"

    def _zone(self, asked: str) -> str:
        if len(asked) > _MAX_CHARS:
            raise ToolFailed(Failure.FAILED, "unknown time zone")
        key = _key(asked)
        if key in self._zones:
            return self._zones[key]
        close = self._close(key)
        hint = f"; close to it is {close}" if close else ""
        raise ToolFailed(Failure.FAILED, f'unknown time zone "{asked}"{hint}')

    def _close(self, key: str) -> str:
        """A zone of that city, or one that is spelt similarly; empty if there is none."""
        city = self._cities.get(key.rpartition("/")[2])
        if city:
            return self._zones[city]
        alike = difflib.get_close_matches(key, self._zones, 1)
        return self._zones[alike[0]] if alike else ""


def _key(name: str) -> str:
    return name.lower().replace(" ", "_")
