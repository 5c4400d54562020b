"""Ctrl-C and SIGTERM end the bench in the same way, and never between a process and its keeper."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The bench was told to stop; the words are the signal's name."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, the first signal raises `Interrupted`; later ones are ignored, so stopping ends."""

    def interrupt(number: int, _: object) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held() -> Iterator[None]:
    """A signal that comes within is acted on afterwards.

    Threads other than the main one are never interrupted by a signal: there it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {each: signal.signal(each, lambda n, _: came.append(n)) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)
