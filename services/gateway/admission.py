"""How much may be asked for at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway.api import Draining, MeshFull, TooManyTurns

# A guess at how long a turn takes, in seconds: what a refused caller is told to wait.
_RETRY_AFTER = "1"


class Admission:
    """Counts the turns under way, of each tenant and of all."""

    def __init__(self, *, max_turns: int, max_turns_per_tenant: int) -> None:
        self._max_turns = max_turns
        self._max_turns_per_tenant = max_turns_per_tenant
        self._by_tenant: Counter[str] = Counter()
        self._closed = False

    @property
    def under_way(self) -> int:
        return self._by_tenant.total()

    @contextmanager
    def admitted(self, tenant: str) -> Iterator[None]:
        if self._closed:
            raise Draining("this gateway is shutting down", retry_after=_RETRY_AFTER)
        if self._by_tenant[tenant] >= self._max_turns_per_tenant:
            limit = self._max_turns_per_tenant
            raise TooManyTurns(f"{limit} of your turns are under way", retry_after=_RETRY_AFTER)
        if self.under_way >= self._max_turns:
            raise MeshFull("too many turns are under way", retry_after=_RETRY_AFTER)
        self._by_tenant[tenant] += 1
        try:
            yield
        finally:
            self._by_tenant[tenant] -= 1
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]

    def close(self) -> None:
        """Lets nobody in any more; who is in may finish."""
        self._closed = True
