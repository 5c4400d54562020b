"""How fast the engine generates, and how many tokens it should therefore send at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from services.inference.api import Delta

# How often a stream gets its tokens, in seconds. Where few streams run, as often as an eye can
# see; where many run, as often as a reader needs. A token that takes longer is sent by itself.
_FEW_STREAMS = 8
_SECONDS_BETWEEN_OUTPUTS_OF_FEW, _SECONDS_BETWEEN_OUTPUTS_OF_MANY = 0.025, 0.1
_MAX_STREAM_INTERVAL = 8


class EnginePace:
    """The seconds that the engine has lately needed for a token of one stream."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds_per_token = 0.0

    def stream_interval(self, streams: int) -> int:
        """How many tokens make one output, while `streams` of them share the engine."""
        if not self._seconds_per_token:
            return 1
        few = streams <= _FEW_STREAMS
        seconds = _SECONDS_BETWEEN_OUTPUTS_OF_FEW if few else _SECONDS_BETWEEN_OUTPUTS_OF_MANY
        return min(max(int(seconds / self._seconds_per_token), 1), _MAX_STREAM_INTERVAL)

    @contextmanager
    def timed(self, choices: int) -> Iterator["GenerationTimer"]:
        """Learns from the generation that runs within. The newest generations weigh most."""
        timer = GenerationTimer(choices, self._clock)
        try:
            yield timer
        finally:
            if (seconds := timer.seconds_per_token) is not None:
                before = self._seconds_per_token or seconds
                self._seconds_per_token = before + 0.2 * (seconds - before)


class GenerationTimer:
    """Measures the engine's pace in one generation whose `choices` are generated side by side.

    The engine generates on while the consumer is busy, and the next output holds all that has come
    meanwhile. So tokens and time between two outputs give the engine's pace even where the consumer
    is slow. That is not true of an output in which a choice ends: the engine may have ended it long
    before it was fetched. Such an output is not counted.
    """

    def __init__(self, choices: int, clock: Callable[[], float]) -> None:
        self._choices = choices
        self._clock = clock
        self._last_output: float | None = None
        self._seconds = 0.0
        self._tokens = 0

    def output_came(self, deltas: Sequence[Delta]) -> None:
        now = self._clock()
        ends = any(delta.finish_reason is not None for delta in deltas)
        # The time before the first output is that of the queue and the prompt.
        if self._last_output is not None and not ends:
            self._seconds += now - self._last_output
            self._tokens += sum(len(delta.ids) for delta in deltas)
        self._last_output = now

    @property
    def seconds_per_token(self) -> float | None:
        """Of one choice; None where nothing was measured."""
        return self._seconds * self._choices / self._tokens if self._tokens else None
