"""A process that the bench keeps."""

import signal
from pathlib import Path
from typing import Any

import pytest

from loadtest.process import Process


class Interrupted:
    """In the place of a process: Ctrl-C comes while it is asked whether it lives."""

    def __init__(self) -> None:
        self.looked = False

    def poll(self) -> None:
        signal.raise_signal(signal.SIGINT)
        self.looked = True


def test_a_signal_does_not_interrupt_the_look_at_a_process() -> None:
    """`Popen.poll` holds a lock, which nobody would give back."""
    handle: Any = Interrupted()
    process = Process("one", (), {}, Path(), handle=handle)
    with pytest.raises(KeyboardInterrupt):
        _ = process.alive
    assert handle.looked
