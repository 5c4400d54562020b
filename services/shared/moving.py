"""All that a store keeps, as records that another store of the same port can keep as they are."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

Record = TypeVar("Record")


class CannotKeep(Exception):
    """The store has no way to keep such a record. The sentence says why."""


@dataclass(frozen=True, slots=True)
class RecordKind(Generic[Record]):
    """One kind of what a port's stores keep. `key` tells a record from the others of its kind."""

    name: str
    type: type[Record]
    key: Callable[[Record], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    records: Sequence[Record]
    # Where the next page begins; empty: there is none.
    rest: str = ""


@runtime_checkable
class Movable(Protocol):
    """What every store of a port does beside its port, so that it can be copied.

    Records are frozen dataclasses of plain values, declared in the port's `ports.py` together with
    their kinds. They hold what the port's answers depend on, and nothing of how a store keeps it:
    the records of a copy equal those of the store that it was made of.
    """

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        """At most `limit` records from a place on; an empty `start` is the beginning.

        The order is the store's own and does not change. A place stays valid when the process
        ends. What is written meanwhile may be in a later page or in none.
        """

    async def put_records(self, records: Sequence[Any]) -> None:
        """Keeps records as they are, each in the place of the one with its key.

        When this returns, they are as safe as any other write. If it is interrupted, some may be
        kept; the same records can be put again. Raises `CannotKeep`.
        """


async def every_page(
    store: Movable, kind: type[Record], start: str, limit: int
) -> AsyncIterator[Page[Record]]:
    """The pages from a place on, the last one too, which may be empty."""
    while True:
        page = await store.records(kind, start, limit)
        yield page
        if not page.rest:
            return
        start = page.rest


def page_of_list(records: Sequence[Record], start: str, limit: int) -> Page[Record]:
    """For a store in this process, whose lists only grow while they are read."""
    begin = int(start or 0)
    end = begin + limit
    return Page(records[begin:end], str(end) if end < len(records) else "")


def digest(record: object) -> bytes:
    """Equal for equal records, whichever store they were read from."""
    return hashlib.sha256(json.dumps(plain(record)).encode()).digest()


def plain(value: Any) -> Any:
    """The value in JSON's words. Lists and tuples are the same, and so are maps in any order."""
    if is_dataclass(value):
        held = (plain(getattr(value, field.name)) for field in fields(value))
        return [type(value).__name__, *held]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, Mapping):
        return ["map", *sorted([key, plain(each)] for key, each in value.items())]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [*map(plain, value)]
    return value
