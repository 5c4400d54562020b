"""How long the backend has kept somebody waiting."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class BackendSilence:
    """Measures the time since the backend's last sign of life, while a generation waits for it.

    A generation whose consumer has not yet taken its last output waits for nobody. Where all are
    held up like that, no time counts, and it starts anew when the first of them asks for more.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting = 0
        self._since = 0.0

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """A generation waits within for its next output."""
        if not self._waiting:
            self._since = self._clock()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def broken(self) -> None:
        """The backend has given a sign of life."""
        self._since = self._clock()

    @property
    def seconds(self) -> float:
        return self._clock() - self._since if self._waiting else 0.0
