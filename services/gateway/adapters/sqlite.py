"""Accounts, keys, usage and idempotency keys in one SQLite file."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite

from services.gateway.adapters import columns
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
from services.shared.schema import Breaking
from services.shared.sqlite import Database, open_sqlite
from services.shared.sqlite_moving import page_of

MIGRATIONS = (
    """
    CREATE TABLE account (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        instructions TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE api_key (
        id TEXT PRIMARY KEY,
        account_id TEXT NOT NULL REFERENCES account (id),
        fingerprint BLOB NOT NULL,
        created_at_ms INTEGER NOT NULL,
        revoked_at_ms INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX api_key_of_account ON api_key (account_id);
    CREATE TABLE usage (
        tenant TEXT NOT NULL,
        response_id TEXT NOT NULL,
        key_id TEXT NOT NULL,
        model TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        PRIMARY KEY (tenant, response_id)
    ) WITHOUT ROWID;
    """,
    # Release 0.1.0 writes `tenant`: it cannot go on with this.
    Breaking(
        """
        CREATE TABLE ledger (
            organisation TEXT NOT NULL,
            project TEXT NOT NULL,
            person TEXT NOT NULL,
            response_id TEXT NOT NULL,
            key_id TEXT NOT NULL,
            model TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            cached_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            PRIMARY KEY (organisation, response_id)
        ) WITHOUT ROWID;
        INSERT INTO ledger
        SELECT tenant, 'default', '', response_id, key_id, model, at_ms,
            prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens
        FROM usage;
        DROP TABLE usage;
        """
    ),
    "ALTER TABLE account ADD COLUMN memory_write INTEGER NOT NULL DEFAULT 0;",
    """
    CREATE TABLE idempotency_key (
        organisation TEXT NOT NULL,
        key TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        response_id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (organisation, key)
    ) WITHOUT ROWID;
    CREATE INDEX idempotency_key_by_age ON idempotency_key (at_ms);
    """,
)


@asynccontextmanager
async def open_sqlite_accounts(url: str) -> AsyncIterator["SqliteAccounts"]:
    async with open_sqlite(url, MIGRATIONS) as database:
        yield SqliteAccounts(database)


_ADD_ACCOUNT = (
    "INSERT INTO account (id, name, kind, instructions, memory_write) VALUES (?, ?, ?, ?, ?)"
)
_SET_ACCOUNT = f"""
    {_ADD_ACCOUNT} ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind,
        instructions = excluded.instructions, memory_write = excluded.memory_write
"""
_ENTRY = """
    (organisation, project, person, response_id, key_id, model, at_ms, prompt_tokens,
        cached_tokens, completion_tokens, reasoning_tokens)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PUT_KEY = """
    INSERT OR REPLACE INTO api_key (id, account_id, fingerprint, created_at_ms, revoked_at_ms)
    VALUES (?, ?, ?, ?, ?)
"""
_PUT_USE = """
    INSERT OR REPLACE INTO idempotency_key (organisation, key, fingerprint, response_id, at_ms)
    VALUES (?, ?, ?, ?, ?)
"""
_KEYS = """
    SELECT api_key.id AS key_id, fingerprint, created_at_ms, revoked_at_ms, account.*
    FROM api_key JOIN account ON account.id = account_id
"""


class SqliteAccounts:
    """`Accounts`, `Ledger` and `IdempotencyKeys`, and `Movable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_account(self, account: Account) -> None:
        async with self._database.transaction() as writing:
            await writing.execute(_SET_ACCOUNT, columns.account_row(account))

    async def claim_account(self, account: Account) -> Account:
        async with self._database.transaction() as writing:
            await writing.execute(
                f"{_ADD_ACCOUNT} ON CONFLICT (id) DO NOTHING", columns.account_row(account)
            )
            (row,) = await writing.execute_fetchall(
                "SELECT * FROM account WHERE id = ?", (account.id,)
            )
            return columns.account(row)

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None:
        async with self._database.transaction() as writing:
            await writing.execute(
                "INSERT INTO api_key (id, account_id, fingerprint, created_at_ms)"
                " VALUES (?, ?, ?, ?)",
                (key_id, account_id, fingerprint, _now_ms()),
            )

    async def find_key(self, key_id: str) -> StoredKey | None:
        rows = await self._database.rows(f"{_KEYS} WHERE api_key.id = ?", (key_id,))
        return columns.stored_key(rows[0]) if rows else None

    async def list_keys(self) -> Sequence[StoredKey]:
        rows = await self._database.rows(f"{_KEYS} ORDER BY account.name, created_at_ms, key_id")
        return [columns.stored_key(row) for row in rows]

    async def revoke_key(self, key_id: str) -> bool:
        async with self._database.transaction() as writing:
            cursor = await writing.execute(
                "UPDATE api_key SET revoked_at_ms = ? WHERE id = ? AND revoked_at_ms IS NULL",
                (_now_ms(), key_id),
            )
            return bool(cursor.rowcount)

    async def revoke_keys(self, account_id: str) -> int:
        async with self._database.transaction() as writing:
            cursor = await writing.execute(
                "UPDATE api_key SET revoked_at_ms = ?"
                " WHERE account_id = ? AND revoked_at_ms IS NULL",
                (_now_ms(), account_id),
            )
            return cursor.rowcount

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        async with self._database.transaction() as writing:
            rows = [columns.entry_row(entry) for entry in entries]
            await writing.executemany(f"INSERT OR IGNORE INTO ledger {_ENTRY}", rows)

    async def total(self, organisation: str) -> Usage:
        (row,) = await self._database.rows(
            "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),"
            " coalesce(sum(completion_tokens), 0), coalesce(sum(reasoning_tokens), 0)"
            " FROM ledger WHERE organisation = ?",
            (organisation,),
        )
        return Usage(*row)

    async def use(
        self, organisation: str, key: str, use: KeyUse, *, instead_of: str = ""
    ) -> KeyUse:
        values = (organisation, key, use.fingerprint, use.response_id, use.at_ms, instead_of)
        async with self._database.transaction() as writing:
            await writing.execute(
                "INSERT INTO idempotency_key (organisation, key, fingerprint, response_id, at_ms)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (organisation, key) DO UPDATE"
                " SET fingerprint = excluded.fingerprint, response_id = excluded.response_id,"
                " at_ms = excluded.at_ms WHERE response_id = ?",
                values,
            )
            (row,) = await writing.execute_fetchall(
                "SELECT fingerprint, response_id, at_ms FROM idempotency_key"
                " WHERE organisation = ? AND key = ?",
                (organisation, key),
            )
            return columns.key_use(row)

    async def free(self, organisation: str, key: str, response_id: str) -> None:
        async with self._database.transaction() as writing:
            await writing.execute(
                "DELETE FROM idempotency_key"
                " WHERE organisation = ? AND key = ? AND response_id = ?",
                (organisation, key, response_id),
            )

    async def drop_uses(self, before_ms: int) -> None:
        async with self._database.transaction() as writing:
            await writing.execute("DELETE FROM idempotency_key WHERE at_ms < ?", (before_ms,))

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return await page_of(self._database, columns.TABLES[kind], start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        async with self._database.transaction() as writing:
            for record in records:
                await _put(writing, record)


async def _put(writing: aiosqlite.Connection, record: object) -> None:
    match record:
        case Account():
            await writing.execute(_SET_ACCOUNT, columns.account_row(record))
        case KeyRecord(key_id, account_id, fingerprint, created_at_ms, revoked_at_ms):
            values = (key_id, account_id, fingerprint, created_at_ms, revoked_at_ms)
            await writing.execute(_PUT_KEY, values)
        case LedgerEntry():
            await writing.execute(
                f"INSERT OR REPLACE INTO ledger {_ENTRY}", columns.entry_row(record)
            )
        case KeyUseRecord(organisation, key, use):
            used = (organisation, key, use.fingerprint, use.response_id, use.at_ms)
            await writing.execute(_PUT_USE, used)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
