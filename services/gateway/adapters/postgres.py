"""Accounts, keys, usage and idempotency keys in PostgreSQL.

A row that is deleted or changed is gone from every read at once; from the server's files when its
autovacuum has gone over the table and the space is used again, and from a backup when that goes.
"""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from psycopg.rows import DictRow

from services.gateway.adapters.postgres_schema import MIGRATIONS, SCHEMA
from services.gateway.ports import Account, AccountKind, KeyUse, LedgerEntry, StoredKey
from services.inference.api import Usage
from services.shared.postgres import EVERY_ORGANISATION, PostgresDatabase, open_postgres
from services.shared.postgres_schema import migrate_postgres
from services.shared.store_url import StoreUrl

_ADD_ACCOUNT = """
    INSERT INTO account (id, name, kind, instructions, memory_write) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (id) DO
"""
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
    """`Accounts`, `Ledger` and `IdempotencyKeys`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def add_account(self, account: Account) -> None:
        sql = f"""{_ADD_ACCOUNT} UPDATE SET name = excluded.name, kind = excluded.kind,
            instructions = excluded.instructions, memory_write = excluded.memory_write"""
        await self._database.run(account.id, sql, _account_row(account))

    async def claim_account(self, account: Account) -> Account:
        async with self._database.transaction(account.id) as writing:
            await writing.queue(f"{_ADD_ACCOUNT} NOTHING", _account_row(account))
            (row,) = await writing.rows("SELECT * FROM account WHERE id = %s", (account.id,))
            return _account(row)

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
        return _stored_key(rows[0]) if rows else None

    async def list_keys(self) -> Sequence[StoredKey]:
        rows = await self._database.run(
            EVERY_ORGANISATION, f"{_KEYS} ORDER BY account.name, created_at_ms, key_id"
        )
        return [_stored_key(row) for row in rows]

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
            await writing.queue(_ADD_ENTRIES, [*map(list, zip(*map(_row, entries), strict=True))])

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
            return KeyUse(bytes(row["fingerprint"]), row["response_id"], row["at_ms"])

    async def free(self, organisation: str, key: str, response_id: str) -> None:
        await self._database.run(organisation, _FREE, (organisation, key, response_id))

    async def drop_uses(self, before_ms: int) -> None:
        await self._database.run(
            EVERY_ORGANISATION, "DELETE FROM idempotency_key WHERE at_ms < %s", (before_ms,)
        )


def _account_row(account: Account) -> tuple[str | bool, ...]:
    return (
        *(account.id, account.name, account.kind.value),
        *(account.instructions, account.memory_write),
    )


def _account(row: DictRow) -> Account:
    return Account(
        row["id"],
        row["name"],
        AccountKind(row["kind"]),
        row["instructions"],
        memory_write=row["memory_write"],
    )


def _stored_key(row: DictRow) -> StoredKey:
    return StoredKey(
        row["key_id"],
        _account(row),
        bytes(row["fingerprint"]),
        revoked=row["revoked_at_ms"] is not None,
        created_at_ms=row["created_at_ms"],
    )


def _row(entry: LedgerEntry) -> tuple[str | int, ...]:
    scope, usage = entry.scope, entry.usage
    return (
        *(scope.organisation, scope.project, scope.person),
        *(entry.response_id, entry.key_id, entry.model, entry.at_ms),
        *(usage.prompt_tokens, usage.cached_tokens),
        *(usage.completion_tokens, usage.reasoning_tokens),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
