"""What the core needs from outside: something that generates tokens, and the model's dialect.

`Request` is a generation in the backend's own words, made once by the dialect and never looked
into by the core.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.inference.api import CallDelta, Delta, Generation
from services.shared.tools import TextInput

Request = TypeVar("Request")
Request_contra = TypeVar("Request_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Output:
    """What has come since the last output. Calls and reasoning still stand in the deltas' text."""

    deltas: tuple[Delta, ...]
    # What the prompt takes of the model's window; pictures take more than their places in the ids.
    prompt_tokens: int
    # Of the prompt's tokens, those that the prefix cache held.
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What the backend works on; `kv_cache_use` is 0 to 1."""

    running: int
    kv_cache_use: float


@dataclass(frozen=True, slots=True)
class ReadOutput:
    """A piece of output, told apart into text, reasoning and calls."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CallDelta, ...] = ()
    # With the last piece: the model began a call that is none.
    broken: bool = False


class OutputReader(Protocol):
    """Reads one choice's output from its beginning.

    It holds text back while that may still turn out to be the beginning of a call.
    """

    def read(self, text: str, ids: Sequence[int], *, finished: bool) -> ReadOutput: ...

    def reasoning_tokens(self) -> int:
        """How many of the ids read so far were reasoning."""


@dataclass(frozen=True, slots=True)
class HeldCalls:
    """Calls of these functions, if they begin with one of the openings; with none, all of them."""

    names: frozenset[str] = frozenset()
    # Each holds the name of its function.
    openings: tuple[str, ...] = ()


class Dialect(Protocol[Request]):
    """How one model writes function calls and reasoning. Never waits; any thread may use it."""

    def request(self, generation: Generation) -> Request:
        """Raises `UnsupportedParameter` for what cannot be asked of the model."""

    def reader(self, request: Request, prompt_ids: Sequence[int]) -> OutputReader | None:
        """A reader for one choice; None where all output is text."""

    def held(self, request: Request) -> HeldCalls:
        """Which calls the backend's grammar makes valid to the last character."""

    def follows(self, text_input: TextInput, text: str) -> bool:
        """Whether the text is one that a tool's grammar allows."""

    def decode(self, request: Request, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """The text of finished output, as the backend would have given it."""


class Backend(Protocol[Request_contra]):
    """Generates tokens."""

    def generate(
        self, generation: Generation, request: Request_contra, *, stream_interval: int
    ) -> AsyncGenerator[Output, None]:
        """Outputs of about `stream_interval` tokens; the first has one and comes at once.

        What comes while the consumer is busy may be merged. The generator ends when every choice
        has finished; closing it earlier aborts the generation. Raises `UnsupportedParameter`,
        `EngineDead` or `QueueFull`.
        """

    def occupancy(self) -> Occupancy: ...

    def listen(self, stepped: Callable[[], None]) -> None:
        """Calls `stepped` on the event loop after every step of the engine, as a sign of life."""

    @property
    def alive(self) -> bool: ...

    async def kill(self) -> None:
        """Ends the engine at once; what runs raises `EngineDead`."""
