"""Accounts, keys and usage in this process alone; gone when it ends."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from services.gateway.ports import (
    Account,
    AnswerMail,
    Demand,
    KeyRecord,
    KeyUse,
    KeyUseRecord,
    LedgerEntry,
    StoredKey,
)
from services.inference.api import Usage
from services.shared.errors import Unavailable
from services.shared.moving import Page, Record, page_of_list
from services.shared.signal import Signal


class InMemoryAccounts:
    """`Accounts`, `Ledger` and `IdempotencyKeys`, and `Movable`."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._keys: dict[str, KeyRecord] = {}
        self._entries: dict[tuple[str, str], LedgerEntry] = {}
        self._uses: dict[tuple[str, str], KeyUse] = {}

    async def add_account(self, account: Account) -> None:
        self._accounts[account.id] = account

    async def claim_account(self, account: Account) -> Account:
        return self._accounts.setdefault(account.id, account)

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None:
        assert account_id in self._accounts
        self._keys[key_id] = KeyRecord(key_id, account_id, fingerprint, _now_ms(), None)

    async def find_key(self, key_id: str) -> StoredKey | None:
        return self._stored(self._keys[key_id]) if key_id in self._keys else None

    async def list_keys(self) -> Sequence[StoredKey]:
        found = map(self._stored, self._keys.values())
        return sorted(found, key=lambda key: (key.account.name, key.created_at_ms, key.id))

    async def revoke_key(self, key_id: str) -> bool:
        key = self._keys.get(key_id)
        if key is None or key.revoked_at_ms is not None:
            return False
        self._keys[key_id] = replace(key, revoked_at_ms=_now_ms())
        return True

    async def revoke_keys(self, account_id: str) -> int:
        owned = [key.id for key in self._keys.values() if key.account_id == account_id]
        return sum([await self.revoke_key(key_id) for key_id in owned])

    def _stored(self, key: KeyRecord) -> StoredKey:
        """The key with its account as it is now."""
        return StoredKey(
            key.id,
            self._accounts[key.account_id],
            key.fingerprint,
            revoked=key.revoked_at_ms is not None,
            created_at_ms=key.created_at_ms,
        )

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        for entry in entries:
            organisation = entry.scope.organisation
            self._entries.setdefault((organisation, entry.response_id), replace(entry))

    async def total(self, organisation: str) -> Usage:
        used = [entry.usage for (owner, _), entry in self._entries.items() if owner == organisation]
        return Usage(*(sum(getattr(usage, part.name) for usage in used) for part in fields(Usage)))

    async def use(
        self, organisation: str, key: str, use: KeyUse, *, instead_of: str = ""
    ) -> KeyUse:
        known = self._uses.setdefault((organisation, key), use)
        if known.response_id == instead_of:
            known = self._uses[organisation, key] = use
        return known

    async def free(self, organisation: str, key: str, response_id: str) -> None:
        known = self._uses.get((organisation, key))
        if known and known.response_id == response_id:
            del self._uses[organisation, key]

    async def drop_uses(self, before_ms: int) -> None:
        self._uses = {place: use for place, use in self._uses.items() if use.at_ms >= before_ms}

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return page_of_list(self._all(kind), start, limit)

    def _all(self, kind: type) -> Sequence[Any]:
        if kind is Account:
            return [*self._accounts.values()]
        if kind is KeyRecord:
            return [*self._keys.values()]
        if kind is LedgerEntry:
            return [*self._entries.values()]
        return [KeyUseRecord(*place, use) for place, use in self._uses.items()]

    async def put_records(self, records: Sequence[Any]) -> None:
        for record in records:
            match record:
                case Account():
                    self._accounts[record.id] = record
                case KeyRecord():
                    self._keys[record.id] = record
                case LedgerEntry(response_id, scope):
                    self._entries[scope.organisation, response_id] = record
                case KeyUseRecord(organisation, key, use):
                    self._uses[organisation, key] = use


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class NobodyElse:
    """`Presence`, `Mail` and `OtherGateways` of a gateway that shares its turns with no other."""

    def __init__(self) -> None:
        self.changed = Signal()

    def demands(self) -> Sequence[Demand]:
        return ()

    async def tell(self, own: Demand) -> None: ...

    async def attend(self, response_id: str, reader: str, *, seconds: float) -> None: ...

    async def leave(self, response_id: str, reader: str) -> None: ...

    async def attended(self, response_id: str) -> bool:  # noqa: ARG002
        return False

    async def ask(self, response_id: str, request: bytes, *, seconds: float) -> bytes:  # noqa: ARG002
        raise Unavailable("there is no other gateway", service="gateway")

    async def serve(self, answer: AnswerMail) -> None:  # noqa: ARG002
        await asyncio.Event().wait()
