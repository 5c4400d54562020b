"""How much may be asked for at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway.api import Draining, MeshFull, TooManyTurns

# A guess at how long a turn takes, in seconds: what a refused caller is told to wait.
_RETRY_AFTER = "1"


class Admission:
    """Counts the turns under way, of each organisation and of all.

    Of an organisation's turns, only some may be in the background: nobody waits for these, so that
    one caller can have started many.
    """

    def __init__(
        self,
        *,
        max_turns: int,
        max_turns_per_organisation: int,
        max_background_turns_per_organisation: int,
    ) -> None:
        self._max_turns = max_turns
        self._max_turns_per_organisation = max_turns_per_organisation
        self._max_background = max_background_turns_per_organisation
        self._by_organisation: Counter[str] = Counter()
        # Of these, the ones in the background.
        self._background: Counter[str] = Counter()
        self._closed = False

    @property
    def under_way(self) -> int:
        return self._by_organisation.total()

    @contextmanager
    def admitted(self, organisation: str, *, background: bool) -> Iterator[None]:
        """A turn's place, until this is left. Raises `Draining`, `TooManyTurns` or `MeshFull`."""
        self._check(organisation, background=background)
        with self.taken_over(organisation, background=background):
            yield

    @contextmanager
    def taken_over(self, organisation: str, *, background: bool) -> Iterator[None]:
        """The place of a turn that another gateway has admitted."""
        counters = [self._by_organisation, *([self._background] if background else ())]
        for counter in counters:
            counter[organisation] += 1
        try:
            yield
        finally:
            for counter in counters:
                counter[organisation] -= 1
                if not counter[organisation]:
                    del counter[organisation]

    def _check(self, organisation: str, *, background: bool) -> None:
        if self._closed:
            raise Draining("this gateway is shutting down", retry_after=_RETRY_AFTER)
        if self._by_organisation[organisation] >= self._max_turns_per_organisation:
            limit = self._max_turns_per_organisation
            raise TooManyTurns(f"{limit} of your turns are under way", retry_after=_RETRY_AFTER)
        if background and self._background[organisation] >= self._max_background:
            said = f"{self._max_background} of your turns are under way in the background"
            raise TooManyTurns(said, retry_after=_RETRY_AFTER)
        if self.under_way >= self._max_turns:
            raise MeshFull("too many turns are under way", retry_after=_RETRY_AFTER)

    def close(self) -> None:
        """Lets nobody in any more; who is in may finish."""
        self._closed = True
