"""Keeps the inspections of texts, since a conversation's earlier messages come with every turn."""

import secrets
from collections.abc import Sequence
from hashlib import blake2b

from cachetools import LRUCache

from services.moderation.ports import Inspection, Inspector

# A text in which rules found more than this is inspected each time, so that no entry is large.
_MOST_SPANS = 32


class CachedInspector:
    """Keeps no text, only a digest of it, with a key that is made anew at each start."""

    def __init__(self, inspector: Inspector, *, texts: int) -> None:
        self._inspector = inspector
        self._inspections: LRUCache[bytes, Inspection] = LRUCache(texts)
        self._key = secrets.token_bytes(16)

    async def inspect(self, texts: Sequence[str]) -> Sequence[Inspection]:
        digests = [self._digest(text) for text in texts]
        known = {d: self._inspections[d] for d in digests if d in self._inspections}
        new = {d: text for d, text in zip(digests, texts, strict=True) if d not in known}
        if new:
            fresh = dict(zip(new, await self._inspector.inspect(tuple(new.values())), strict=True))
            self._inspections.update(
                (digest, inspection)
                for digest, inspection in fresh.items()
                if len(inspection.spans) <= _MOST_SPANS
            )
            known |= fresh
        return [known[digest] for digest in digests]

    def _digest(self, text: str) -> bytes:
        raw = text.encode("utf-8", "surrogatepass")
        return blake2b(raw, digest_size=16, key=self._key).digest()
