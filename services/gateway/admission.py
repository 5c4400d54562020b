"""How much may be asked for at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway.api import Draining, MeshFull, TooManyTurns

# A guess at how long a turn takes, in seconds: what a refused caller is told to wait.
_RETRY_AFTER = "1"


class Admission:
    """Counts the turns under way, of each organisation and of all."""

    def __init__(self, *, max_turns: int, max_turns_per_organisation: int) -> None:
        self._max_turns = max_turns
        self._max_turns_per_organisation = max_turns_per_organisation
        self._by_organisation: Counter[str] = Counter()
        self._closed = False

    @property
    def under_way(self) -> int:
        return self._by_organisation.total()

    @contextmanager
    def admitted(self, organisation: str) -> Iterator[None]:
        if self._closed:
            raise Draining("this gateway is shutting down", retry_after=_RETRY_AFTER)
        if self._by_organisation[organisation] >= self._max_turns_per_organisation:
            limit = self._max_turns_per_organisation
            raise TooManyTurns(f"{limit} of your turns are under way", retry_after=_RETRY_AFTER)
        if self.under_way >= self._max_turns:
            raise MeshFull("too many turns are under way", retry_after=_RETRY_AFTER)
        self._by_organisation[organisation] += 1
        try:
            yield
        finally:
            self._by_organisation[organisation] -= 1
            if not self._by_organisation[organisation]:
                del self._by_organisation[organisation]

    def close(self) -> None:
        """Lets nobody in any more; who is in may finish."""
        self._closed = True
