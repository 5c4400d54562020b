"""Counts the generations that wait for the engine and those that run, and refuses too many."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.inference.api import QueueFull

# The rate at which waiting generations start is measured over this time.
_WINDOW_SECONDS = 10
# A refused caller is told to come again in at most this time, however slow the engine is.
_MAX_RETRY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How many generations, and how many of their prompt tokens, may wait for a first token."""

    max_waiting: int
    max_waiting_tokens: int


class GenerationQueue:
    """Knows of every generation from its admission to its end.

    A generation waits until its first output has come, then it runs. Each of its choices counts.
    """

    def __init__(self, limits: QueueLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._starts: deque[float] = deque()
        self.waiting = 0
        self.waiting_tokens = 0
        self.running = 0

    @property
    def idle(self) -> bool:
        return not (self.waiting or self.running)

    @contextmanager
    def admitted(self, choices: int, prompt_tokens: int) -> Iterator["AdmittedGeneration"]:
        """Raises `QueueFull`. A prompt longer than the limit is let in when nobody waits."""
        over = self.waiting + choices > self._limits.max_waiting
        over_tokens = self.waiting_tokens + prompt_tokens > self._limits.max_waiting_tokens
        if self.waiting and (over or over_tokens):
            raise QueueFull(
                f"{self.waiting} generations wait for the engine",
                retry_after=str(self._retry_after()),
            )
        generation = AdmittedGeneration(self, choices, prompt_tokens)
        try:
            yield generation
        finally:
            generation.ended()

    def started(self) -> None:
        """One of those that waited runs now."""
        now = self._clock()
        self._starts.append(now)
        while self._starts[0] < now - _WINDOW_SECONDS:
            self._starts.popleft()

    def _retry_after(self) -> int:
        """After how many seconds those who wait will have started, if they start as fast as
        others did in the last seconds.
        """
        recent = sum(start >= self._clock() - _WINDOW_SECONDS for start in self._starts)
        if not recent:
            return _WINDOW_SECONDS
        return min(max(math.ceil(self.waiting * _WINDOW_SECONDS / recent), 1), _MAX_RETRY_SECONDS)


class AdmittedGeneration:
    """One generation: it waits, runs, and ends."""

    def __init__(self, queue: GenerationQueue, choices: int, prompt_tokens: int) -> None:
        self._queue = queue
        self._choices = choices
        self._prompt_tokens = prompt_tokens
        self._runs = False
        queue.waiting += choices
        queue.waiting_tokens += prompt_tokens

    def output_came(self) -> None:
        """With its first output it leaves the queue; further ones change nothing."""
        if self._runs:
            return
        self._runs = True
        self._leave_queue()
        self._queue.running += self._choices
        self._queue.started()

    def ended(self) -> None:
        if self._runs:
            self._queue.running -= self._choices
        else:
            self._leave_queue()

    def _leave_queue(self) -> None:
        self._queue.waiting -= self._choices
        self._queue.waiting_tokens -= self._prompt_tokens
