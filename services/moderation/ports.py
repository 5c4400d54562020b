"""What moderation needs from outside its core, and what its steps hand to each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.moderation.api import Span

# A column for each of `CATEGORIES`, 0 to 1.
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen in a text, whichever way it goes; holds none of the text."""

    scores: tuple[float, ...]
    spans: tuple[Span, ...]


class Reader(Protocol):
    async def read(self, texts: Sequence[str]) -> Sequence[Reading]:
        """A reading of each text, in order."""


class Scorer(Protocol):
    async def score(self, windows: Sequence[str]) -> Scores:
        """A row for each window."""


class FirstStage(Protocol):
    """Scores every window, cheaply. It may be wrong, but must not be far too low."""

    def score(self, windows: Sequence[str]) -> Scores: ...


class Finder(Protocol):
    """Finds stretches of text by the rules of one family, such as `secrets`.

    What it finds in a line may depend on the line above, and on others only where `settled` holds
    them together; a backslash at its end joins a line to the next.
    """

    @property
    def family(self) -> str: ...

    @property
    def rules(self) -> frozenset[str]: ...

    def find(self, text: str) -> list[Span]: ...

    def settled(self, text: str) -> int:
        """Up to here `find` finds the same whatever follows, but for a last word that may go on."""
