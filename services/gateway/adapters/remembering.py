"""Decorators that spare the stores and services what they said a moment ago."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cachetools import TTLCache

from services.gateway.ports import Account, Accounts, Ledger, LedgerEntry, StoredKey
from services.inference.api import Usage
from services.shared.background import every, in_background
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.tool_runner.api import Outcome, ToolRunner

_MOST = 10_000
# A revoked key is refused everywhere within this; a new tool is offered within it. Seconds.
_TTL = 2.0
_FLUSH_SECONDS = 0.5


class CachedKeys:
    """`Accounts.find_key`, remembered for a moment; unknown keys are asked for every time."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._cache: TTLCache[str, StoredKey] = TTLCache(_MOST, _TTL)

    async def add_account(self, account: Account) -> None:
        await self._accounts.add_account(account)

    async def claim_account(self, account: Account) -> Account:
        return await self._accounts.claim_account(account)

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None:
        await self._accounts.add_key(key_id, account_id, fingerprint)

    async def list_keys(self) -> Sequence[StoredKey]:
        return await self._accounts.list_keys()

    async def revoke_key(self, key_id: str) -> bool:
        self._cache.pop(key_id, None)
        return await self._accounts.revoke_key(key_id)

    async def revoke_keys(self, account_id: str) -> int:
        self._cache.clear()
        return await self._accounts.revoke_keys(account_id)

    async def find_key(self, key_id: str) -> StoredKey | None:
        if (known := self._cache.get(key_id)) is not None:
            return known
        stored = await self._accounts.find_key(key_id)
        if stored:
            self._cache[key_id] = stored
        return stored


class CachedTools:
    """`ToolRunner` whose list is remembered for a moment for each scope."""

    def __init__(self, tools: ToolRunner) -> None:
        self._tools = tools
        self._cache: TTLCache[Scope, Sequence[Tool]] = TTLCache(_MOST, _TTL)

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        if (known := self._cache.get(scope)) is not None:
            return known
        tools = await self._tools.list_tools(scope)
        self._cache[scope] = tools
        return tools

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        return await self._tools.run(scope, call)


class BufferedLedger:
    """`Ledger` that writes beside the turns, many entries at a time, and all when it closes."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pending: list[LedgerEntry] = []

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        self._pending += entries

    async def total(self, organisation: str) -> Usage:
        await self.flush()
        return await self._ledger.total(organisation)

    async def flush(self) -> None:
        """Entries that cannot be written now are kept for the next time."""
        entries, self._pending = self._pending, []
        if not entries:
            return
        try:
            await self._ledger.add(entries)
        except BaseException:
            self._pending = entries + self._pending
            raise


@asynccontextmanager
async def buffered(ledger: Ledger) -> AsyncIterator[BufferedLedger]:
    """A buffered ledger that flushes on the side, and once more when left."""
    buffer = BufferedLedger(ledger)
    async with in_background(lambda: every(_FLUSH_SECONDS, buffer.flush)):
        yield buffer
    await buffer.flush()
