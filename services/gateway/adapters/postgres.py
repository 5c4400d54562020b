"""Accounts, keys, usage and idempotency keys in PostgreSQL.

A row that is deleted or changed is gone from every read at once; from the server's files when its
autovacuum has gone over the table and the space is used again, and from a backup when that goes.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from services.gateway.adapters import columns
from services.gateway.adapters.postgres_schema import MIGRATIONS, SCHEMA
from services.gateway.ports import (
    Account,
    KeyRecord,
    KeyUse,
    KeyUseRecord,
    LedgerEntry,
    StoredKey,
)
from services.inference.api import Usage
from services.shared.moving import Page, Record
from services.shared.postgres import (
    EVERY_ORGANISATION,
    PostgresDatabase,
    Transaction,
    open_postgres,
)
from services.shared.postgres_moving import page_of, put
from services.shared.postgres_schema import migrate_postgres
from services.shared.store_url import StoreUrl

_ADD_ACCOUNT = """
    INSERT INTO account (id, name, kind, instructions, memory_write) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (id) DO
"""
_SET_ACCOUNT = f"""{_ADD_ACCOUNT} UPDATE SET name = excluded.name, kind = excluded.kind,
    instructions = excluded.instructions, memory_write = excluded.memory_write"""
_KEYS = """
    SELECT api_key.id AS key_id, fingerprint, created_at_ms, revoked_at_ms, account.*
    FROM api_key JOIN account ON account.id = account_id
"""
_REVOKE = "UPDATE api_key SET revoked_at_ms = %s WHERE revoked_at_ms IS NULL AND"
# A list for each column: as many entries as come at once are one statement.
_ADD_ENTRIES = """
    INSERT INTO ledger (organisation, project, person, response_id, key_id, model, at_ms,
        prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    ON CONFLICT DO NOTHING
"""
_PUT_ENTRY = """
    INSERT INTO ledger (organisation, project, person, response_id, key_id, model, at_ms,
        prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (organisation, response_id) DO UPDATE SET project = excluded.project,
        person = excluded.person, key_id = excluded.key_id, model = excluded.model,
        at_ms = excluded.at_ms, prompt_tokens = excluded.prompt_tokens,
        cached_tokens = excluded.cached_tokens, completion_tokens = excluded.completion_tokens,
        reasoning_tokens = excluded.reasoning_tokens
"""
_TOTAL = """
    SELECT coalesce(sum(prompt_tokens), 0)::bigint AS prompt,
        coalesce(sum(cached_tokens), 0)::bigint AS cached,
        coalesce(sum(completion_tokens), 0)::bigint AS completion,
        coalesce(sum(reasoning_tokens), 0)::bigint AS reasoning
    FROM ledger WHERE organisation = %s
"""
_USE = """
    INSERT INTO idempotency_key (organisation, key, fingerprint, response_id, at_ms)
    VALUES (%s, %s, %s, %s, %s) ON CONFLICT (organisation, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, response_id = excluded.response_id,
        at_ms = excluded.at_ms WHERE idempotency_key.response_id = %s
"""
_USED = """
    SELECT fingerprint, response_id, at_ms FROM idempotency_key
    WHERE organisation = %s AND key = %s
"""
_FREE = "DELETE FROM idempotency_key WHERE organisation = %s AND key = %s AND response_id = %s"


@asynccontextmanager
async def open_postgres_accounts(url: StoreUrl) -> AsyncIterator["PostgresAccounts"]:
    async with open_postgres(url, SCHEMA, MIGRATIONS) as database:
        yield PostgresAccounts(database)


async def migrate_postgres_accounts(url: StoreUrl) -> None:
    await migrate_postgres(url, SCHEMA, MIGRATIONS)


class PostgresAccounts:
    """`Accounts`, `Ledger` and `IdempotencyKeys`, and `Movable`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def add_account(self, account: Account) -> None:
        await self._database.run(account.id, _SET_ACCOUNT, columns.account_row(account))

    async def claim_account(self, account: Account) -> Account:
        async with self._database.transaction(account.id) as writing:
            await writing.queue(f"{_ADD_ACCOUNT} NOTHING", columns.account_row(account))
            (row,) = await writing.rows("SELECT * FROM account WHERE id = %s", (account.id,))
            return columns.account(row)

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None:
        await self._database.run(
            account_id,
            "INSERT INTO api_key (id, account_id, fingerprint, created_at_ms)"
            " VALUES (%s, %s, %s, %s)",
            (key_id, account_id, fingerprint, _now_ms()),
        )

    async def find_key(self, key_id: str) -> StoredKey | None:
        rows = await self._database.run(
            EVERY_ORGANISATION, f"{_KEYS} WHERE api_key.id = %s", (key_id,)
        )
        return columns.stored_key(rows[0]) if rows else None

    async def list_keys(self) -> Sequence[StoredKey]:
        rows = await self._database.run(
            EVERY_ORGANISATION, f"{_KEYS} ORDER BY account.name, created_at_ms, key_id"
        )
        return [columns.stored_key(row) for row in rows]

    async def revoke_key(self, key_id: str) -> bool:
        revoked = await self._database.run(
            EVERY_ORGANISATION, f"{_REVOKE} id = %s RETURNING id", (_now_ms(), key_id)
        )
        return bool(revoked)

    async def revoke_keys(self, account_id: str) -> int:
        revoked = await self._database.run(
            account_id, f"{_REVOKE} account_id = %s RETURNING id", (_now_ms(), account_id)
        )
        return len(revoked)

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        """All or none of them."""
        async with self._database.transaction(EVERY_ORGANISATION) as writing:
            await writing.queue(
                _ADD_ENTRIES, [*map(list, zip(*map(columns.entry_row, entries), strict=True))]
            )

    async def total(self, organisation: str) -> Usage:
        (row,) = await self._database.run(organisation, _TOTAL, (organisation,))
        return Usage(row["prompt"], row["cached"], row["completion"], row["reasoning"])

    async def use(
        self, organisation: str, key: str, use: KeyUse, *, instead_of: str = ""
    ) -> KeyUse:
        values = (organisation, key, use.fingerprint, use.response_id, use.at_ms, instead_of)
        async with self._database.transaction(organisation) as writing:
            await writing.queue(_USE, values)
            (row,) = await writing.rows(_USED, (organisation, key))
            return columns.key_use(row)

    async def free(self, organisation: str, key: str, response_id: str) -> None:
        await self._database.run(organisation, _FREE, (organisation, key, response_id))

    async def drop_uses(self, before_ms: int) -> None:
        await self._database.run(
            EVERY_ORGANISATION, "DELETE FROM idempotency_key WHERE at_ms < %s", (before_ms,)
        )

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return await page_of(self._database, columns.TABLES[kind], start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        async with self._database.transaction(EVERY_ORGANISATION) as writing:
            for record in records:
                await _put(writing, record)


_PUT_KEY = put("api_key", ["id"], ["account_id", "fingerprint", "created_at_ms", "revoked_at_ms"])
_PUT_USE = put("idempotency_key", ["organisation", "key"], ["fingerprint", "response_id", "at_ms"])


async def _put(writing: Transaction, record: object) -> None:
    match record:
        case Account():
            await writing.queue(_SET_ACCOUNT, columns.account_row(record))
        case KeyRecord():
            await writing.queue(_PUT_KEY, asdict(record))
        case LedgerEntry():
            await writing.queue(_PUT_ENTRY, columns.entry_row(record))
        case KeyUseRecord(organisation, key, use):
            key_use = {"organisation": organisation, "key": key, **asdict(use)}
            await writing.queue(_PUT_USE, key_use)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
