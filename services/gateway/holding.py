"""Whoever waits for a turn's first words is told when the turn is held for want of a replica.

It is no event of the turn: a turn that another gateway goes on with may be held there or not, and
its events must be the same.
"""

import asyncio
from contextvars import ContextVar

# Tasks that are begun later inherit it, the turn's own among them.
_watched: ContextVar[asyncio.Event | None] = ContextVar("held", default=None)


def watched() -> asyncio.Event:
    """Is set once a turn that this task begins from now on has to wait for a replica."""
    event = asyncio.Event()
    _watched.set(event)
    return event


def tell() -> None:
    """A generation of this task's turn begins to wait for a replica."""
    if event := _watched.get():
        event.set()
