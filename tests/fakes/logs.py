"""Logs where a test can read them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from services.shared import logs


@contextmanager
def logged_to(stream: TextIO) -> Iterator[None]:
    """Sends this process's logs elsewhere for a while."""
    logs.configure("INFO", stream)
    try:
        yield
    finally:
        logs.configure("INFO", sys.__stderr__)
