"""What a tool of the mesh is, and what the tools need from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from services.memory.api import Fact, Remembered
from services.shared.conversation import Parts
from services.shared.scope import Scope
from services.tool_runner.api import Failure

Arguments = Mapping[str, Any]


class ToolFailed(Exception):
    """A tool could not do what was asked.

    `sentence` says why in plain words, for the model to pass on. It may quote the call's own
    arguments, and never the text of another exception.
    """

    def __init__(self, failure: Failure, sentence: str) -> None:
        super().__init__(sentence)
        self.failure = failure
        self.sentence = sentence


class Permission(Enum):
    EVERYBODY = "everybody"
    PEOPLE = "people"  # scopes that name a person

    def granted_to(self, scope: Scope) -> bool:
        return self is Permission.EVERYBODY or bool(scope.person)


@dataclass(frozen=True, slots=True)
class Declaration:
    """How a tool is shown to the model; `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    permission: Permission = Permission.EVERYBODY
    # Whether running it changes what is remembered of a person.
    writes_memory: bool = False


class RunnableTool(Protocol):
    """One of the mesh's own tools. Cancelling `run` stops it."""

    @property
    def declaration(self) -> Declaration: ...

    async def run(self, scope: Scope, arguments: Arguments) -> str | Parts:
        """Gets arguments that follow the schema; raises `ToolFailed`. A `str` is one text part."""


class Memory(Protocol):
    """What the memory tools need of `services.memory.api.Memory`."""

    async def remember(self, scope: Scope, text: str) -> Remembered: ...

    async def forget(self, scope: Scope, *, query: str) -> Sequence[Fact]: ...


@dataclass(frozen=True, slots=True)
class Conditions:
    """The weather at a place; `place` is the name that the weather service has for it."""

    place: str
    celsius: float
    sky: str
    wind_kmh: float


class WeatherService(Protocol):
    async def conditions(self, location: str) -> Conditions | None:
        """The weather there now; None when no such place is known. Raises `ToolFailed`."""
