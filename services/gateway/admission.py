"""How many turns may be under way in this gateway."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway.api import Draining, MeshFull

# A guess at how long a turn takes, in seconds: what a refused caller is told to wait.
_RETRY_AFTER = "1"


class Admission:
    """Counts the turns under way. How many an organisation may have is one of its `Limits`."""

    def __init__(self, *, max_turns: int) -> None:
        self._max_turns = max_turns
        self.under_way = 0
        self.closed = False

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A turn's place, until this is left. Raises `Draining` or `MeshFull`."""
        if self.closed:
            raise Draining("this gateway is shutting down", retry_after=_RETRY_AFTER)
        if self.under_way >= self._max_turns:
            raise MeshFull("too many turns are under way", retry_after=_RETRY_AFTER)
        with self.taken_over():
            yield

    @contextmanager
    def taken_over(self) -> Iterator[None]:
        """The place of a turn that another gateway has admitted."""
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def close(self) -> None:
        """Lets nobody in any more; who is in may finish."""
        self.closed = True
