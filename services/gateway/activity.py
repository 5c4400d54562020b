"""How much the gateway asks of the services that it calls: what they are scaled by."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Rates are of this time, in seconds.
_WINDOW = 10.0


class Rate:
    """How much came in a second, of late."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._came = deque[tuple[float, float]]()
        self._total = 0.0

    def add(self, amount: float) -> None:
        self._forget()
        self._came.append((self._clock(), amount))
        self._total += amount

    @property
    def per_second(self) -> float:
        self._forget()
        return self._total / _WINDOW

    def _forget(self) -> None:
        while self._came and self._came[0][0] < self._clock() - _WINDOW:
            self._total -= self._came.popleft()[1]


class Activity:
    """Tokens, characters and tools, as they are asked for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # Of prompts, as the tokenizer makes them.
        self.tokens = Rate(clock)
        # That moderation reads.
        self.characters = Rate(clock)
        self.tools_running = 0

    @contextmanager
    def tool(self) -> Iterator[None]:
        self.tools_running += 1
        try:
            yield
        finally:
            self.tools_running -= 1
