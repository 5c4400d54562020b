"""Ctrl-C and SIGTERM end the bench in the same way, and never between a process and its keeper."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# By the alarm, an interrupt that was dropped comes again.
_HELD = (*_SIGNALS, signal.SIGALRM)
_SOON_SECONDS = 0.01


class Interrupted(KeyboardInterrupt):
    """The bench was told to stop; the words are the signal's name."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, the first signal raises `Interrupted`; later ones are ignored, so stopping ends.

    Python drops what is raised while a destructor runs. There it is raised again, a moment later.
    """

    def interrupt(number: int, _: object) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    def dropped(what: "sys.UnraisableHookArgs") -> None:
        interrupted = what.exc_value
        if not isinstance(interrupted, Interrupted):
            hook(what)
            return

        def again(*_: object) -> None:
            raise Interrupted(*interrupted.args)

        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, _SOON_SECONDS)

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
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
    before = {each: signal.signal(each, lambda n, _: came.append(n)) for each in _HELD}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)
