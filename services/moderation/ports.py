"""What moderation's core needs, and the values that its steps give to each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.moderation.api import Span

# A row for each window, a column for each of `CATEGORIES`; values from 0 to 1.
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a text, the same for both directions; holds none of the text."""

    # One for each of `CATEGORIES`, 0 to 1.
    scores: tuple[float, ...]
    # What the rules found.
    spans: tuple[Span, ...]


class Inspector(Protocol):
    async def inspect(self, texts: Sequence[str]) -> Sequence[Inspection]:
        """An inspection of each text, in order."""


class WindowScorer(Protocol):
    async def score(self, windows: Sequence[str]) -> Scores:
        """A row for each window."""


class FirstStage(Protocol):
    """Scores every window at little cost, to find those that need a second look.

    It may score a harmless window too high, but hardly ever a harmful one too low.
    """

    def score(self, windows: Sequence[str]) -> Scores:
        """A row for each window."""


class Finder(Protocol):
    """Finds stretches of text by the rules of one family, such as `secrets`.

    What it finds in a line may depend on the line above. A line that ends with a backslash and the
    next one are one line. It may depend on more lines only where `settled` answers with a place
    before all of them, as for a private key.
    """

    @property
    def family(self) -> str: ...

    @property
    def rules(self) -> frozenset[str]: ...

    def find(self, text: str) -> list[Span]: ...

    def settled(self, text: str) -> int:
        """Where the part of a growing text ends in which later text changes no find.

        A last word that may still grow is the caller's business.
        """
