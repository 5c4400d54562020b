"""Requests that are sent again: with the same idempotency key they are one turn, or one other
thing that is made.
"""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.gateway.api import KeyReused, Once
from services.gateway.ports import IdempotencyKeys, KeyUse

# For so long at least, a key stands for the request that it was first sent with.
_KEPT = timedelta(hours=24)
# With this a request that has been made has another fingerprint than one under way.
_MADE = b"made"


class Repeats:
    """Finds the turn that a request has started already.

    What is kept of a request is a digest under a secret, since a short text could be guessed from a
    plain one.
    """

    def __init__(self, keys: IdempotencyKeys, *, secret: bytes) -> None:
        self._keys = keys
        self._secret = secret

    async def once(
        self,
        organisation: str,
        once: Once,
        response_id: str,
        *,
        start: Callable[[], Awaitable[object]],
        is_answer: Callable[[KeyUse], Awaitable[bool]],
    ) -> str:
        """Starts the turn `response_id`, or says which one has answered the request before.

        `is_answer` says whether an earlier turn is under way or has an answer: one that has
        failed is started anew. Raises `KeyReused`, and what `start` raises; the key is free then.
        """
        fingerprint = self._fingerprint(once)
        use = KeyUse(fingerprint, response_id, _now_ms())
        known = await self._keys.use(organisation, once.key, use)
        while known.response_id != response_id:
            same = hmac.compare_digest(known.fingerprint, fingerprint)
            if not (same or self.was_made(once, known)):
                raise KeyReused("this key was sent before, with another request: make a new one")
            if await is_answer(known):
                return known.response_id
            known = await self._keys.use(organisation, once.key, use, instead_of=known.response_id)
        try:
            await start()
        except BaseException:
            await self._keys.free(organisation, once.key, response_id)
            raise
        return response_id

    async def note_made(self, organisation: str, once: Once, made_id: str) -> None:
        """What cannot be joined while it is made is there now, unless it is erased."""
        use = KeyUse(self._fingerprint(once, _MADE), made_id, _now_ms())
        await self._keys.use(organisation, once.key, use, instead_of=made_id)

    def was_made(self, once: Once, use: KeyUse) -> bool:
        """Whether the same request was made, and that was noted."""
        return hmac.compare_digest(use.fingerprint, self._fingerprint(once, _MADE))

    def _fingerprint(self, once: Once, stage: bytes = b"") -> bytes:
        return hmac.digest(self._secret, once.digest + stage, hashlib.sha256)

    async def forget_old(self) -> None:
        await self._keys.drop_uses(_now_ms() - int(_KEPT.total_seconds() * 1000))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
