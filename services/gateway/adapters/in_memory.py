"""Accounts, keys and usage in this process alone; gone when it ends."""

from collections.abc import Sequence
from dataclasses import fields, replace

from services.gateway.ports import Account, LedgerEntry, StoredKey
from services.inference.api import Usage


class InMemoryAccounts:
    """`Accounts` and `Ledger`."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, tuple[str, bytes, bool]] = {}
        self._entries: dict[tuple[str, str], LedgerEntry] = {}

    async def add_account(self, account: Account) -> None:
        self._accounts[account.id] = account

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None:
        self._keys[key_id] = (account_id, fingerprint, False)

    async def find_key(self, key_id: str) -> StoredKey | None:
        if key_id not in self._keys:
            return None
        account_id, fingerprint, revoked = self._keys[key_id]
        return StoredKey(key_id, self._accounts[account_id], fingerprint, revoked)

    async def revoke_keys(self, account_id: str) -> int:
        valid = [
            key_id
            for key_id, (owner, _, revoked) in self._keys.items()
            if owner == account_id and not revoked
        ]
        for key_id in valid:
            self._keys[key_id] = (*self._keys[key_id][:2], True)
        return len(valid)

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        for entry in entries:
            organisation = entry.scope.organisation
            self._entries.setdefault((organisation, entry.response_id), replace(entry))

    async def total(self, organisation: str) -> Usage:
        used = [entry.usage for (owner, _), entry in self._entries.items() if owner == organisation]
        return Usage(*(sum(getattr(usage, part.name) for usage in used) for part in fields(Usage)))
