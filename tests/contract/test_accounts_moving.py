"""What every store of accounts, keys and usage does to be copied."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.ports import (
    RECORD_KINDS,
    Account,
    KeyRecord,
    KeyUse,
    KeyUseRecord,
    LedgerEntry,
)
from services.inference.api import Usage
from tests.fakes.account_stores import ACCOUNT_STORES
from tests.fakes.moving import (
    ADA,
    SHOP,
    SPENT,
    USED,
    AccountStore,
    all_of,
    carried,
    contents,
    fill_accounts,
)


@pytest.fixture(params=ACCOUNT_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AccountStore]:
    async with ACCOUNT_STORES[request.param](tmp_path) as opened:
        yield opened


async def test_a_copy_answers_as_what_it_was_made_of(store: AccountStore) -> None:
    model = InMemoryAccounts()
    await fill_accounts(model)
    await carried(model, store, RECORD_KINDS)
    again = InMemoryAccounts()
    await carried(store, again, RECORD_KINDS)
    for each in (store, again):
        assert await contents(each, RECORD_KINDS) == await contents(model, RECORD_KINDS)
        assert await each.list_keys() == await model.list_keys()
        assert await each.total("acct_1") == await model.total("acct_1")


async def test_a_store_that_was_filled_by_its_port_has_these_records(store: AccountStore) -> None:
    await fill_accounts(store)
    found = {kind.type: await all_of(store, kind) for kind in RECORD_KINDS}
    assert found[Account] == [ADA, SHOP]
    keys = {key.id: key for key in found[KeyRecord]}
    assert {key.id: key.revoked for key in await store.list_keys()} == {
        key.id: key.revoked_at_ms is not None for key in keys.values()
    }
    assert (keys["key1"].account_id, keys["key1"].fingerprint) == ("acct_1", b"\0print")
    assert len(found[LedgerEntry]) == 8
    assert SPENT in found[LedgerEntry]
    assert KeyUseRecord("acct_2", "first", USED) in found[KeyUseRecord]


async def test_a_record_takes_the_place_of_the_one_with_its_key(store: AccountStore) -> None:
    await fill_accounts(store)
    before = await contents(store, RECORD_KINDS)
    revoked = KeyRecord("key1", "acct_1", b"other", 1, 2)
    changed = [
        replace(ADA, instructions="Be long."),
        revoked,
        replace(SPENT, usage=Usage(9, 9, 9, 9)),
        KeyUseRecord("acct_1", "first", replace(USED, response_id="resp_2")),
    ]
    await store.put_records(changed)
    after = await contents(store, RECORD_KINDS)
    for kind, record in zip(RECORD_KINDS, changed, strict=True):
        assert record in await all_of(store, kind)
        differing = [
            key for key in after[kind.name] if after[kind.name][key] != before[kind.name][key]
        ]
        assert differing == [kind.key(record)]


async def test_writing_goes_on_in_a_copy(store: AccountStore) -> None:
    model = InMemoryAccounts()
    await fill_accounts(model)
    await carried(model, store, RECORD_KINDS)
    assert await store.revoke_keys("acct_1") == 1
    await store.add([SPENT])
    assert await store.total("acct_1") == await model.total("acct_1")
    later = KeyUse(b"other", "resp_9", 9)
    assert await store.use("acct_1", "first", later) == USED
    await store.add_key("key4", "acct_2", b"print")
    assert len(await store.list_keys()) == 4
