"""What tests do with stores that can be copied."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.shared.moving import Movable, RecordKind, every_page, plain

Kinds = Sequence[RecordKind[Any]]


async def all_of(store: Movable, kind: RecordKind[Any], limit: int = 3) -> list[Any]:
    pages = [page async for page in every_page(store, kind.type, "", limit)]
    assert all(len(page.records) <= limit for page in pages)
    return [record for page in pages for record in page.records]


async def carried(source: Movable, target: Movable, kinds: Kinds) -> None:
    for kind in kinds:
        async for page in every_page(source, kind.type, "", 3):
            await target.put_records(page.records)


async def contents(store: Movable, kinds: Kinds) -> Mapping[str, Mapping[tuple[str, ...], Any]]:
    return {
        kind.name: {kind.key(record): plain(record) for record in await all_of(store, kind)}
        for kind in kinds
    }
