"""What the core needs from outside: something that generates tokens, and the model's dialect.

`Request` is a generation in the backend's own words, made once by the dialect and never looked
into by the core.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.inference.api import CallDelta, Delta, Generation

Request = TypeVar("Request")
Request_contra = TypeVar("Request_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Output:
    """What has come since the last one; deltas hold plain text: nothing is read out of it yet."""

    deltas: tuple[Delta, ...]
    # Of the prompt's tokens, those that the prefix cache held.
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What the backend works on; `kv_cache_use` is 0 to 1."""

    running: int
    kv_cache_use: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a piece of output means."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CallDelta, ...] = ()


class Reader(Protocol):
    """Reads one choice's output from its beginning; keeps what it cannot yet tell apart."""

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> Reading: ...

    def reasoning_tokens(self) -> int:
        """How many of the ids read so far were reasoning."""


class Dialect(Protocol[Request]):
    """How one model writes function calls and reasoning. Never waits; may be used by any thread."""

    def request(self, generation: Generation) -> Request:
        """Raises `UnsupportedParameter` for what cannot be asked of the model."""

    def reader(self, request: Request, prompt_ids: Sequence[int]) -> Reader | None:
        """A reader for one choice; None where all output is text."""

    def decode(self, request: Request, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """The text of finished output, as the backend would have given it."""


class Backend(Protocol[Request_contra]):
    """Generates tokens."""

    def generate(
        self, generation: Generation, request: Request_contra, *, stream_interval: int
    ) -> AsyncGenerator[Output, None]:
        """Outputs of about `stream_interval` tokens, the first at once; merged for a slow consumer.

        Ends when every choice has finished; closing it earlier aborts the generation. Raises
        `UnsupportedParameter` or `EngineDead`.
        """

    def occupancy(self) -> Occupancy: ...

    def listen(self, stepped: Callable[[], None]) -> None:
        """Calls `stepped` on the event loop after every step of the engine: a sign of progress."""

    @property
    def alive(self) -> bool: ...

    async def kill(self) -> None:
        """Ends the engine at once; what runs raises `EngineDead`."""
