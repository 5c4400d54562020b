"""Accounts, keys and usage in this process alone; gone when it ends."""

import time
from collections.abc import Sequence
from dataclasses import fields, replace

from services.gateway.ports import Account, LedgerEntry, StoredKey
from services.inference.api import Usage


class InMemoryAccounts:
    """`Accounts` and `Ledger`."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, StoredKey] = {}
        self._entries: dict[tuple[str, str], LedgerEntry] = {}

    async def add_account(self, account: Account) -> None:
        self._accounts[account.id] = account

    async def claim_account(self, account: Account) -> Account:
        return self._accounts.setdefault(account.id, account)

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None:
        self._keys[key_id] = StoredKey(
            key_id,
            self._accounts[account_id],
            fingerprint,
            revoked=False,
            created_at_ms=time.time_ns() // 1_000_000,
        )

    async def find_key(self, key_id: str) -> StoredKey | None:
        return self._current(self._keys[key_id]) if key_id in self._keys else None

    async def list_keys(self) -> Sequence[StoredKey]:
        found = [self._current(key) for key in self._keys.values()]
        return sorted(found, key=lambda key: (key.account.name, key.created_at_ms, key.id))

    async def revoke_key(self, key_id: str) -> bool:
        stored = self._keys.get(key_id)
        if stored is None or stored.revoked:
            return False
        self._keys[key_id] = replace(stored, revoked=True)
        return True

    async def revoke_keys(self, account_id: str) -> int:
        owned = [key.id for key in self._keys.values() if key.account.id == account_id]
        return sum([await self.revoke_key(key_id) for key_id in owned])

    def _current(self, key: StoredKey) -> StoredKey:
        """The key with its account as it is now."""
        return replace(key, account=self._accounts[key.account.id])

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        for entry in entries:
            organisation = entry.scope.organisation
            self._entries.setdefault((organisation, entry.response_id), replace(entry))

    async def total(self, organisation: str) -> Usage:
        used = [entry.usage for (owner, _), entry in self._entries.items() if owner == organisation]
        return Usage(*(sum(getattr(usage, part.name) for usage in used) for part in fields(Usage)))
