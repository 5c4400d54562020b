"""How accounts, keys, usage and idempotency keys look in SQL tables; pure, both directions."""

from collections.abc import Mapping
from typing import Any, Protocol

from services.gateway.ports import (
    Account,
    AccountKind,
    KeyRecord,
    KeyUse,
    KeyUseRecord,
    LedgerEntry,
    StoredKey,
)
from services.inference.api import Usage
from services.shared.scope import Scope
from services.shared.table_pages import KeyedTable


class Row(Protocol):
    """What a database returns, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


def account_row(account: Account) -> tuple[str | bool, ...]:
    return (
        *(account.id, account.name, account.kind.value),
        *(account.instructions, account.memory_write),
    )


def account(row: Row) -> Account:
    return Account(
        row["id"],
        row["name"],
        AccountKind(row["kind"]),
        row["instructions"],
        memory_write=bool(row["memory_write"]),
    )


def stored_key(row: Row) -> StoredKey:
    return StoredKey(
        row["key_id"],
        account(row),
        bytes(row["fingerprint"]),
        revoked=row["revoked_at_ms"] is not None,
        created_at_ms=row["created_at_ms"],
    )


def entry_row(entry: LedgerEntry) -> tuple[str | int, ...]:
    scope, usage = entry.scope, entry.usage
    return (
        *(scope.organisation, scope.project, scope.person),
        *(entry.response_id, entry.key_id, entry.model, entry.at_ms),
        *(usage.prompt_tokens, usage.cached_tokens),
        *(usage.completion_tokens, usage.reasoning_tokens),
    )


def key_use(row: Row) -> KeyUse:
    return KeyUse(bytes(row["fingerprint"]), row["response_id"], row["at_ms"])


def _key_record(row: Row) -> KeyRecord:
    names = ("id", "account_id", "fingerprint", "created_at_ms", "revoked_at_ms")
    return KeyRecord(*(row[name] for name in names))


def _entry(row: Row) -> LedgerEntry:
    return LedgerEntry(
        row["response_id"],
        Scope(row["organisation"], row["project"], row["person"]),
        row["key_id"],
        row["model"],
        row["at_ms"],
        Usage(
            *(row["prompt_tokens"], row["cached_tokens"]),
            *(row["completion_tokens"], row["reasoning_tokens"]),
        ),
    )


def _use_record(row: Row) -> KeyUseRecord:
    return KeyUseRecord(row["organisation"], row["key"], key_use(row))


# For `Movable`.
TABLES: Mapping[type, KeyedTable] = {
    Account: KeyedTable("SELECT * FROM account", ("id",), account),
    KeyRecord: KeyedTable("SELECT * FROM api_key", ("id",), _key_record),
    LedgerEntry: KeyedTable("SELECT * FROM ledger", ("organisation", "response_id"), _entry),
    KeyUseRecord: KeyedTable("SELECT * FROM idempotency_key", ("organisation", "key"), _use_record),
}
