"""The secret by which whoever administers keys is recognised."""

import hashlib
import hmac
from collections.abc import Callable

from services.gateway.api import NotAdministrator
from services.shared.errors import CannotStart

# A secret of fewer bytes could be guessed. One that `kubectl chatmesh` installs has 43.
_LEAST_BYTES = 32


class AdminToken:
    """Not an API key: it opens no conversation, and no API key opens the administration.

    The secret is read again for every request, so a new one counts as soon as it is there. White
    space around it does not count, as editors leave some. Raises `CannotStart` for a short one.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        if len(self._secret()) < _LEAST_BYTES:
            raise CannotStart(f"the admin token has fewer than {_LEAST_BYTES} bytes")

    def check(self, given: str) -> None:
        """Raises `NotAdministrator`; takes equally long wherever the two differ."""
        secret = self._secret()
        same = hmac.compare_digest(_digest(secret), _digest(given.strip().encode()))
        if not same or len(secret) < _LEAST_BYTES:
            raise NotAdministrator("the admin token is missing or wrong")

    def _secret(self) -> bytes:
        return self._read().strip()


def _digest(secret: bytes) -> bytes:
    """Of one length for all, so that not even the length is told."""
    return hashlib.sha256(secret).digest()
