"""The time that is left for the request in hand, which shrinks from hop to hop."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from services.shared.errors import DeadlineExceeded

# What a hop keeps for itself, so that it can still say why it gives up, in seconds.
_HOP_SECONDS = 0.02

_due: ContextVar[float | None] = ContextVar("due", default=None)


@contextmanager
def due_in(seconds: float | None) -> Iterator[None]:
    """Bounds everything within; an outer, earlier bound stays."""
    now = time.monotonic()
    outer = _due.get()
    mine = None if seconds is None else now + seconds
    token = _due.set(min((due for due in (outer, mine) if due is not None), default=None))
    try:
        yield
    finally:
        _due.reset(token)


def within(seconds: float | None) -> float | None:
    """The timeout, in seconds, of a call that may itself take `seconds`. None: no bound at all."""
    due = _due.get()
    if due is None:
        return seconds
    left = due - time.monotonic() - _HOP_SECONDS
    if left <= 0:
        raise DeadlineExceeded("no time is left for this request")
    return left if seconds is None else min(seconds, left)
