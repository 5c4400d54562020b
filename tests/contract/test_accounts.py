"""One suite for every store of accounts, keys and usage."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.adapters.remembering import BufferedLedger, CachedKeys, buffered
from services.gateway.ports import Account, AccountKind, KeyUse, LedgerEntry
from services.inference.api import Usage
from services.shared.scope import Scope
from tests.fakes.account_stores import ACCOUNT_STORES
from tests.fakes.moving import AccountStore

ADA = Account("acct_1", "Ada", AccountKind.PERSONAL, "Be brief.")
SHOP = Account("acct_2", "shop", AccountKind.APPLICATION, memory_write=True)


@pytest.fixture(params=ACCOUNT_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AccountStore]:
    async with ACCOUNT_STORES[request.param](tmp_path) as opened:
        yield opened


async def test_a_key_is_found_with_its_account(store: AccountStore) -> None:
    await store.add_account(ADA)
    await store.add_key("key1", "acct_1", b"print")
    found = await store.find_key("key1")
    assert found
    assert (found.account, found.fingerprint, found.revoked) == (ADA, b"print", False)
    assert await store.find_key("key2") is None


async def test_an_account_is_changed_by_adding_it_again(store: AccountStore) -> None:
    await store.add_account(ADA)
    await store.add_key("key1", "acct_1", b"print")
    changed = Account("acct_1", "Ada L.", AccountKind.PERSONAL, "Be long.", memory_write=True)
    await store.add_account(changed)
    found = await store.find_key("key1")
    assert found
    assert found.account == changed


async def test_revoking_takes_all_keys_of_one_account(store: AccountStore) -> None:
    await store.add_account(ADA)
    await store.add_account(SHOP)
    for key, account in (("key1", "acct_1"), ("key2", "acct_1"), ("key3", "acct_2")):
        await store.add_key(key, account, b"print")
    assert await store.revoke_keys("acct_1") == 2
    assert await store.revoke_keys("acct_1") == 0
    found = [await store.find_key(key) for key in ("key1", "key2", "key3")]
    assert [key.revoked for key in found if key] == [True, True, False]


async def test_an_accounts_id_is_claimed_once(store: AccountStore) -> None:
    assert await store.claim_account(ADA) == ADA
    other = Account("acct_1", "ada", AccountKind.APPLICATION)
    assert await store.claim_account(other) == ADA
    await store.add_account(other)
    assert await store.claim_account(ADA) == other


async def test_keys_are_listed_by_account_also_revoked_ones(store: AccountStore) -> None:
    await store.add_account(SHOP)
    await store.add_account(ADA)
    for key, account in (("key1", "acct_2"), ("key2", "acct_1"), ("key3", "acct_2")):
        await store.add_key(key, account, b"print")
    assert await store.revoke_key("key1")
    assert not await store.revoke_key("key1")
    assert not await store.revoke_key("key4")
    listed = await store.list_keys()
    assert [(key.id, key.account, key.revoked) for key in listed] == [
        ("key2", ADA, False),
        ("key1", SHOP, True),
        ("key3", SHOP, False),
    ]
    assert all(key.created_at_ms > 10**12 for key in listed)
    assert listed == [await store.find_key(key.id) for key in listed]


def entry(number: int, organisation: str = "acct_1") -> LedgerEntry:
    scope = Scope(organisation, "main", "ada")
    return LedgerEntry(f"resp_{number}", scope, "key1", "demo", number, Usage(10, 5, 3, 1))


async def test_usage_is_counted_once_and_by_organisation(store: AccountStore) -> None:
    await store.add([entry(1), entry(2), entry(1, "acct_2")])
    await store.add([entry(2), entry(3)])
    assert await store.total("acct_1") == Usage(30, 15, 9, 3)
    assert await store.total("acct_2") == Usage(10, 5, 3, 1)
    assert await store.total("nobody") == Usage()


async def test_a_buffered_ledger_writes_all_when_it_closes(store: AccountStore) -> None:
    async with buffered(store) as ledger:
        await ledger.add([entry(1)])
        assert await ledger.total("acct_1") == Usage(10, 5, 3, 1)
        await ledger.add([entry(2)])
    assert await store.total("acct_1") == Usage(20, 10, 6, 2)


class BrokenLedger(InMemoryAccounts):
    broken = True

    async def add(self, entries: object) -> None:
        if self.broken:
            raise OSError("disk full")
        await super().add(entries)  # type: ignore[arg-type]


async def test_what_cannot_be_written_now_is_written_later() -> None:
    store = BrokenLedger()
    ledger = BufferedLedger(store)
    await ledger.add([entry(1)])
    with pytest.raises(OSError, match="disk full"):
        await ledger.flush()
    store.broken = False
    assert await ledger.total("acct_1") == Usage(10, 5, 3, 1)


async def test_cached_keys_ask_again_for_those_they_do_not_know(store: AccountStore) -> None:
    cached = CachedKeys(store)
    assert await cached.find_key("key1") is None
    await cached.add_account(ADA)
    await cached.add_key("key1", "acct_1", b"print")
    assert await cached.find_key("key1")
    assert await cached.revoke_keys("acct_1") == 1
    found = await cached.find_key("key1")
    assert found
    assert found.revoked


async def test_cached_keys_forget_one_that_is_revoked(store: AccountStore) -> None:
    cached = CachedKeys(store)
    await cached.claim_account(ADA)
    await cached.add_key("key1", "acct_1", b"print")
    assert await cached.find_key("key1")
    assert await cached.revoke_key("key1")
    assert [key.revoked for key in await cached.list_keys()] == [True]
    found = await cached.find_key("key1")
    assert found
    assert found.revoked


FIRST, SECOND = KeyUse(b"print", "resp_1", 1000), KeyUse(b"other", "resp_2", 2000)


async def test_an_idempotency_key_stands_for_its_first_use(store: AccountStore) -> None:
    assert await store.use("acct_1", "k", FIRST) == FIRST
    assert await store.use("acct_1", "k", SECOND) == FIRST
    assert await store.use("acct_2", "k", SECOND) == SECOND
    assert await store.use("acct_1", "other", SECOND) == SECOND


async def test_an_idempotency_key_goes_on_to_another_response_once(store: AccountStore) -> None:
    third = KeyUse(b"print", "resp_3", 3000)
    await store.use("acct_1", "k", FIRST)
    assert await store.use("acct_1", "k", SECOND, instead_of="resp_1") == SECOND
    assert await store.use("acct_1", "k", third, instead_of="resp_1") == SECOND


async def test_an_idempotency_key_is_freed_by_who_has_it(store: AccountStore) -> None:
    await store.use("acct_1", "k", FIRST)
    await store.free("acct_1", "k", "resp_2")
    await store.free("acct_2", "k", "resp_1")
    assert await store.use("acct_1", "k", SECOND) == FIRST
    await store.free("acct_1", "k", "resp_1")
    assert await store.use("acct_1", "k", SECOND) == SECOND


async def test_old_idempotency_keys_are_dropped(store: AccountStore) -> None:
    await store.use("acct_1", "old", FIRST)
    await store.use("acct_1", "new", SECOND)
    await store.drop_uses(2000)
    third = KeyUse(b"print", "resp_3", 3000)
    assert await store.use("acct_1", "old", third) == third
    assert await store.use("acct_1", "new", third) == SECOND
