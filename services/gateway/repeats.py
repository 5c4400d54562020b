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
        fingerprint = hmac.digest(self._secret, once.digest, hashlib.sha256)
        use = KeyUse(fingerprint, response_id, _now_ms())
        known = await self._keys.use(organisation, once.key, use)
        while known.response_id != response_id:
            if not hmac.compare_digest(known.fingerprint, fingerprint):
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

    async def forget_old(self) -> None:
        await self._keys.drop_uses(_now_ms() - int(_KEPT.total_seconds() * 1000))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
