"""What tests do with stores that can be copied."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.adapters.postgres import PostgresAccounts
from services.gateway.adapters.sqlite import SqliteAccounts
from services.gateway.ports import Account, AccountKind, KeyUse, LedgerEntry
from services.inference.api import Usage
from services.memory.api import Fact, Kind
from services.memory.ports import EmbeddedFact, FactStore
from services.shared.moving import Movable, RecordKind, every_page, plain
from services.shared.scope import Scope
from tests.fakes.memory import WordEmbedder

ANN, BOB = Scope("acme", "main", "ann"), Scope("umbrella", "main", "bob")
AccountStore = InMemoryAccounts | SqliteAccounts | PostgresAccounts
ADA = Account("acct_1", "Ada", AccountKind.PERSONAL, "Be brief. \0 Größe")
SHOP = Account("acct_2", "shop", AccountKind.APPLICATION, memory_write=True)
SPENT = LedgerEntry(
    "resp_1", Scope("acct_1", "default", "owner"), "key1", "m", 7, Usage(1, 2, 3, 4)
)
USED = KeyUse(b"\0\xff", "resp_1", 8)
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


def fact(fact_id: str, text: str) -> EmbeddedFact:
    (vector,) = WordEmbedder().embed_now([text])
    return EmbeddedFact(Fact(fact_id, text, Kind.PREFERENCE, 1, 2), vector)


async def fill_facts(store: FactStore) -> None:
    """Facts of two people, a change and two erasures; the last revision is nobody's any more."""
    first = await store.write(
        ANN, 0, keep=[fact("a", "tea \0 茶"), fact("b", "Oslo"), fact("c", "cat")], drop=[]
    )
    await store.write(ANN, first, keep=[fact("b", "Bergen")], drop=["c"])
    await store.write(BOB, 0, keep=[fact("a", "dog")], drop=[])
    await store.erase(BOB)


async def fill_accounts(store: AccountStore) -> None:
    for account in (ADA, SHOP):
        await store.add_account(account)
    for key, account_id in (("key1", "acct_1"), ("key2", "acct_1"), ("key3", "acct_2")):
        await store.add_key(key, account_id, b"\0print")
    await store.revoke_key("key2")
    others = [replace(SPENT, response_id=f"resp_{number}") for number in range(2, 9)]
    await store.add([SPENT, *others])
    await store.use("acct_1", "first", USED)
    await store.use("acct_2", "first", USED)
