"""Which models are listed, and with what cards."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from services.inference.api import ModelCard


class ModelList:
    """Models that are there, and for a while those that have gone: a restart takes no time then."""

    def __init__(self, clock: Callable[[], float], *, kept_seconds: float) -> None:
        self._clock = clock
        self._kept_seconds = kept_seconds
        # Until when a card stays listed after its model has gone.
        self._seen: dict[str, tuple[ModelCard, float]] = {}

    def remember(self, there: Iterable[ModelCard]) -> None:
        """To be called with all that is there, just before some of it goes."""
        until = self._clock() + self._kept_seconds
        self._seen |= {card.id: (card, until) for card in in_common(there)}

    def cards(self, there: Iterable[ModelCard]) -> tuple[ModelCard, ...]:
        now = self._clock()
        self._seen = {name: seen for name, seen in self._seen.items() if seen[1] > now}
        listed = {card.id: card for card in in_common(there)}
        gone = [card for name, (card, _) in self._seen.items() if name not in listed]
        return (*listed.values(), *gone)


def in_common(cards: Iterable[ModelCard]) -> tuple[ModelCard, ...]:
    """One card for each model: what all promise who serve it, since a request may go to any."""
    found: dict[str, ModelCard] = {}
    for card in cards:
        found[card.id] = _both(found[card.id], card) if card.id in found else card
    return tuple(found.values())


def _both(one: ModelCard, other: ModelCard) -> ModelCard:
    return replace(
        one,
        context_tokens=_least(one.context_tokens, other.context_tokens),
        calls_tools=one.calls_tools and other.calls_tools,
        reasons=one.reasons and other.reasons,
        summarises=one.summarises and other.summarises,
        sees=one.sees and other.sees,
        created_at=_least(one.created_at, other.created_at),
    )


def _least(one: int, other: int) -> int:
    """0 is a number that nobody has told."""
    return min(one, other) if one and other else one or other
