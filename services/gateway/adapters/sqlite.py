"""Accounts, keys and usage in one SQLite file."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.gateway.ports import Account, AccountKind, LedgerEntry, StoredKey
from services.inference.api import Usage
from services.shared.sqlite import Breaking, Database, open_sqlite

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
)


@asynccontextmanager
async def open_accounts(url: str) -> AsyncIterator["SqliteAccounts"]:
    async with open_sqlite(url, MIGRATIONS) as database:
        yield SqliteAccounts(database)


class SqliteAccounts:
    """`Accounts` and `Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_account(self, account: Account) -> None:
        async with self._database.transaction() as writing:
            await writing.execute(
                "INSERT INTO account (id, name, kind, instructions) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind,"
                " instructions = excluded.instructions",
                (account.id, account.name, account.kind.value, account.instructions),
            )

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None:
        async with self._database.transaction() as writing:
            await writing.execute(
                "INSERT INTO api_key (id, account_id, fingerprint, created_at_ms)"
                " VALUES (?, ?, ?, ?)",
                (key_id, account_id, fingerprint, _now_ms()),
            )

    async def find_key(self, key_id: str) -> StoredKey | None:
        rows = await self._database.rows(
            "SELECT api_key.id AS key_id, fingerprint, revoked_at_ms, account.*"
            " FROM api_key JOIN account ON account.id = account_id WHERE api_key.id = ?",
            (key_id,),
        )
        if not rows:
            return None
        (row,) = rows
        account = Account(row["id"], row["name"], AccountKind(row["kind"]), row["instructions"])
        return StoredKey(
            row["key_id"], account, row["fingerprint"], revoked=row["revoked_at_ms"] is not None
        )

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
            await writing.executemany(
                "INSERT OR IGNORE INTO ledger (organisation, project, person, response_id, key_id,"
                " model, at_ms, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_row(entry) for entry in entries],
            )

    async def total(self, organisation: str) -> Usage:
        (row,) = await self._database.rows(
            "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(cached_tokens), 0),"
            " coalesce(sum(completion_tokens), 0), coalesce(sum(reasoning_tokens), 0)"
            " FROM ledger WHERE organisation = ?",
            (organisation,),
        )
        return Usage(*row)


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
