"""Readings kept for texts that come again, as a conversation's earlier messages do."""

import secrets
from collections.abc import Sequence
from hashlib import blake2b

from cachetools import LRUCache

from services.moderation.ports import Reader, Reading

# A text with more finds than this is read anew each time, so that an entry is never large.
_MOST_SPANS = 32


class CachedReader:
    """Knows texts by a digest that nobody else can compute; keeps none of them."""

    def __init__(self, reader: Reader, *, texts: int) -> None:
        self._reader = reader
        self._readings: LRUCache[bytes, Reading] = LRUCache(texts)
        self._key = secrets.token_bytes(16)

    async def read(self, texts: Sequence[str]) -> Sequence[Reading]:
        digests = [self._digest(text) for text in texts]
        known = {d: self._readings[d] for d in digests if d in self._readings}
        new = {d: text for d, text in zip(digests, texts, strict=True) if d not in known}
        if new:
            fresh = dict(zip(new, await self._reader.read(tuple(new.values())), strict=True))
            self._readings.update(
                (digest, reading)
                for digest, reading in fresh.items()
                if len(reading.spans) <= _MOST_SPANS
            )
            known |= fresh
        return [known[digest] for digest in digests]

    def _digest(self, text: str) -> bytes:
        raw = text.encode("utf-8", "surrogatepass")
        return blake2b(raw, digest_size=16, key=self._key).digest()
