"""How much time a request has left. Every service that it passes through leaves less of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from services.shared.errors import DeadlineExceeded

# What a service keeps of the time when it calls another, in seconds: it can then still answer its
# own caller that the time is up.
_HOP_SECONDS = 0.02

# When the time is up, by the monotonic clock.
_due: ContextVar[float | None] = ContextVar("due", default=None)


@contextmanager
def due_in(seconds: float | None) -> Iterator[None]:
    """Gives everything within so many seconds. An earlier end that was set outside still holds."""
    now = time.monotonic()
    outer = _due.get()
    mine = None if seconds is None else now + seconds
    token = _due.set(min((due for due in (outer, mine) if due is not None), default=None))
    try:
        yield
    finally:
        _due.reset(token)


@contextmanager
def due_anew_in(seconds: float) -> Iterator[None]:
    """Bounds everything within by this alone: for work that may outlive the call that began it."""
    token = _due.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _due.reset(token)


def within(seconds: float | None) -> float | None:
    """How many seconds a call may take that has `seconds` of its own; None: without an end.

    Raises DeadlineExceeded when the request has no time left.
    """
    due = _due.get()
    if due is None:
        return seconds
    left = due - time.monotonic() - _HOP_SECONDS
    if left <= 0:
        raise DeadlineExceeded("no time is left for this request")
    return left if seconds is None else min(seconds, left)
