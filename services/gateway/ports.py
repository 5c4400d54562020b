"""What the gateway needs from outside."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.context_assembly.api import ContextAssembly
from services.inference.api import Generation, Piece, Report, Usage
from services.moderation.api import Moderation
from services.shared.chat import Scope
from services.tool_runner.api import ToolRunner


class Generates(Protocol):
    """Of inference, what the turn needs."""

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]: ...


class Inference(Generates, Protocol):
    """Of one replica, what the fleet needs besides."""

    def watch_load(self) -> AsyncGenerator[Report, None]: ...


@dataclass(frozen=True, slots=True)
class Mesh:
    """The services that the turn walks through."""

    moderation: Moderation
    context: ContextAssembly
    inference: Generates
    tools: ToolRunner


class AccountKind(Enum):
    # One person's: memory is theirs unless the request names somebody else.
    PERSONAL = "personal"
    # A program's, for many people: memory only for whom the request names.
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    name: str
    kind: AccountKind
    # What its owner wants in every conversation.
    instructions: str = ""

    def scope(self, safety_identifier: str) -> Scope:
        """Whose state a request of this account may touch."""
        if not safety_identifier and self.kind is AccountKind.PERSONAL:
            return Scope(self.id, user="owner")
        return Scope(self.id, user=f"person:{safety_identifier}" if safety_identifier else "")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is kept of an API key: enough to recognise it, not to use it."""

    id: str
    account: Account
    fingerprint: bytes
    revoked: bool


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one turn used."""

    response_id: str
    tenant: str
    key_id: str
    model: str
    # Milliseconds since the epoch.
    at_ms: int
    usage: Usage


class Accounts(Protocol):
    """Accounts and their keys."""

    async def add_account(self, account: Account) -> None:
        """Adds it, or replaces name, kind and instructions of the one with its id."""

    async def add_key(self, key_id: str, account_id: str, fingerprint: bytes) -> None: ...

    async def find_key(self, key_id: str) -> StoredKey | None: ...

    async def revoke_keys(self, account_id: str) -> int:
        """Revokes all keys of an account; says how many were valid."""


class Ledger(Protocol):
    """What was used, for the bill."""

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        """Adding an entry again changes nothing."""

    async def total(self, tenant: str) -> Usage: ...
