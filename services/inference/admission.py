"""Who may wait for the engine, and how fast it takes them up."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.inference.api import QueueFull

# The rate at which waiting generations start is measured over this time.
_WINDOW_SECONDS = 10
# What a refused caller is told at most, however slow the engine is.
_MAX_RETRY_SECONDS = 60
# How often a stream gets its tokens, in seconds: few as often as anybody could see, of many each
# as often as one reads. A token that takes longer comes by itself.
_FEW_STREAMS = 8
_SECONDS_BETWEEN_OUTPUTS_OF_FEW, _SECONDS_BETWEEN_OUTPUTS_OF_MANY = 0.025, 0.1
_MAX_STREAM_INTERVAL = 8


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many generations, and how many of their prompt tokens, may wait for a first token."""

    max_waiting: int
    max_waiting_tokens: int


class Admission:
    """Counts generations from their admission over their first token to their end."""

    def __init__(self, limits: QueueLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._starts: deque[float] = deque()
        self._seconds_per_token = 0.0
        self.waiting = 0
        self.waiting_tokens = 0
        self.running = 0

    @property
    def idle(self) -> bool:
        return not (self.waiting or self.running)

    @contextmanager
    def admitted(self, choices: int, prompt_tokens: int) -> Iterator["Stay"]:
        """Raises `QueueFull`. A prompt longer than the bound is let in when nobody waits."""
        over = self.waiting + choices > self._limits.max_waiting
        over_tokens = self.waiting_tokens + prompt_tokens > self._limits.max_waiting_tokens
        if self.waiting and (over or over_tokens):
            raise QueueFull(
                f"{self.waiting} generations wait for the engine",
                retry_after=str(self._retry_after()),
            )
        stay = Stay(self, choices, prompt_tokens)
        try:
            yield stay
        finally:
            stay.ended()

    def stream_interval(self) -> int:
        """How many tokens make an output now."""
        if not self._seconds_per_token:
            return 1
        few = self.waiting + self.running <= _FEW_STREAMS
        seconds = _SECONDS_BETWEEN_OUTPUTS_OF_FEW if few else _SECONDS_BETWEEN_OUTPUTS_OF_MANY
        return min(max(int(seconds / self._seconds_per_token), 1), _MAX_STREAM_INTERVAL)

    def started(self) -> None:
        now = self._clock()
        self._starts.append(now)
        while self._starts[0] < now - _WINDOW_SECONDS:
            self._starts.popleft()

    def measured(self, seconds_per_token: float) -> None:
        """A generation's own pace; the newest weigh most."""
        before = self._seconds_per_token or seconds_per_token
        self._seconds_per_token = before + 0.2 * (seconds_per_token - before)

    def now(self) -> float:
        return self._clock()

    def _retry_after(self) -> int:
        """In how many seconds those who wait will have started, at the rate of late."""
        recent = sum(start >= self._clock() - _WINDOW_SECONDS for start in self._starts)
        if not recent:
            return _WINDOW_SECONDS
        return min(max(math.ceil(self.waiting * _WINDOW_SECONDS / recent), 1), _MAX_RETRY_SECONDS)


class Stay:
    """One generation's time with the engine."""

    def __init__(self, admission: Admission, choices: int, prompt_tokens: int) -> None:
        self._admission = admission
        self._choices = choices
        self._prompt_tokens = prompt_tokens
        self._first: float | None = None
        self._tokens = 0
        admission.waiting += choices
        admission.waiting_tokens += prompt_tokens

    def grown(self, tokens: int) -> None:
        """An output has come."""
        if self._first is not None:
            self._tokens += tokens
            return
        self._leave_queue()
        self._admission.running += self._choices
        self._admission.started()
        self._first = self._admission.now()

    def ended(self) -> None:
        if self._first is None:
            self._leave_queue()
            return
        self._admission.running -= self._choices
        if self._tokens:
            seconds = self._admission.now() - self._first
            self._admission.measured(seconds * self._choices / self._tokens)

    def _leave_queue(self) -> None:
        self._admission.waiting -= self._choices
        self._admission.waiting_tokens -= self._prompt_tokens
