"""Whether two stores of a port hold the same records, without holding all of them in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.local.copier import Told
from services.shared.moving import Movable, RecordKind, digest, every_page

# Records are counted in so many parts of a kind. Only parts that differ are read a second time.
_PARTS = 4096
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Tally:
    """All records of a kind in one store, in whatever order they were read."""

    count: int
    parts: Sequence[int]

    @property
    def digest(self) -> str:
        """Equal where all records are."""
        whole = b"".join(part.to_bytes(_BYTES, "big") for part in self.parts)
        return hashlib.sha256(whole).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Compared:
    """What two stores hold of one kind; the names of the records that are not the same."""

    kind: str
    source: Tally
    target: Tally
    # By what is wrong with them: `missing`, `other` or `only in the target`.
    differences: Sequence[tuple[str, str]] = ()


class Comparison:
    def __init__(self, source: Movable, target: Movable, told: Told, *, page: int) -> None:
        self._source = source
        self._target = target
        self._told = told
        self._page = page

    async def of(self, kind: RecordKind[Any]) -> Compared:
        source = await self._tally(self._source, kind)
        target = await self._tally(self._target, kind)
        parts = {part for part in range(_PARTS) if source.parts[part] != target.parts[part]}
        differences = await self._differences(kind, parts) if parts else ()
        return Compared(kind.name, source, target, differences)

    async def _tally(self, store: Movable, kind: RecordKind[Any]) -> Tally:
        side = "source" if store is self._source else "target"
        count, parts = 0, [0] * _PARTS
        async for page in every_page(store, kind.type, "", self._page):
            for record in page.records:
                # A sum, because stores have orders of their own.
                part = _part(kind, record)
                read = int.from_bytes(digest(record), "big")
                parts[part] = (parts[part] + read) % (1 << 8 * _BYTES)
            count += len(page.records)
            self._told(f"compared, {side}", kind.name, count)
        return Tally(count, parts)

    async def _differences(
        self, kind: RecordKind[Any], parts: set[int]
    ) -> Sequence[tuple[str, str]]:
        source = await self._digests(self._source, kind, parts)
        target = await self._digests(self._target, kind, parts)
        wrong = dict.fromkeys(source.keys() - target.keys(), "missing")
        wrong |= dict.fromkeys(target.keys() - source.keys(), "only in the target")
        both = source.keys() & target.keys()
        wrong |= {key: "other" for key in both if source[key] != target[key]}
        return sorted((what, " ".join(key)) for key, what in wrong.items())

    async def _digests(
        self, store: Movable, kind: RecordKind[Any], parts: set[int]
    ) -> dict[tuple[str, ...], bytes]:
        return {
            kind.key(record): digest(record)
            async for page in every_page(store, kind.type, "", self._page)
            for record in page.records
            if _part(kind, record) in parts
        }


def _part(kind: RecordKind[Any], record: object) -> int:
    key = hashlib.sha256("\0".join(kind.key(record)).encode("utf-8", "surrogatepass"))
    return int.from_bytes(key.digest()[:4], "big") % _PARTS
