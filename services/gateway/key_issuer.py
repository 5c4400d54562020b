"""Makes, lists and revokes API keys, as administrators ask, by command or on HTTP."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.gateway import keys
from services.gateway.api import InvalidKey
from services.gateway.authenticator import Authenticator
from services.gateway.ports import Account, AccountKind, Accounts, StoredKey

# The id of the account for which `make up` makes a key, after revoking that of the run before.
_OF_MAKE_UP = "acct_local"
_KINDS = {
    AccountKind.PERSONAL: "one person's",
    AccountKind.APPLICATION: "an application's",
}


_MAX_NAME_CHARS = 200


class KeyRefused(Exception):
    """The sentence says why, and what to do instead."""


@dataclass(frozen=True, slots=True)
class KeyWish:
    """For whom a key is made.

    None: an account that is there stays as it is; a new one is personal, has no instructions, and
    the model may not remember for it.
    """

    name: str
    kind: AccountKind | None = None
    instructions: str | None = None
    # Whether the model may remember and forget for the account's requests.
    memory_write: bool | None = None
    # Whether an account that is of another kind shall become one of this kind.
    changes_kind: bool = False


class KeyIssuer:
    """Keeps accounts apart: none becomes another, or of another kind, because names are alike."""

    def __init__(self, accounts: Accounts, authenticator: Authenticator) -> None:
        self._accounts = accounts
        self._authenticator = authenticator

    async def create(self, wish: KeyWish) -> str:
        """The key, which is seen whole this once. Raises `KeyRefused`."""
        account_id = _account_id(wish.name)
        wished = Account(account_id, wish.name, wish.kind or AccountKind.PERSONAL)
        found = await self._accounts.claim_account(wished)
        if found.name != wish.name:
            raise KeyRefused(
                f"{wish.name!r} is too much like {found.name!r}, which has an account already:"
                " write the name as it is there, or choose another"
            )
        return await self._authenticator.create_key(_as_wished(found, wish))

    async def list_keys(self) -> Sequence[StoredKey]:
        return await self._accounts.list_keys()

    async def revoke(self, key: str) -> StoredKey:
        """By the key's id, or the whole key. Raises `KeyRefused`."""
        key_id = _key_id(key)
        stored = await self._accounts.find_key(key_id)
        if stored is None:
            raise KeyRefused(f"there is no key {key_id}: list the keys to see which there are")
        if not await self._accounts.revoke_key(key_id):
            raise KeyRefused(f"the key {key_id} has been revoked before")
        return stored

    async def revoke_all(self, name: str) -> Sequence[StoredKey]:
        """The valid keys of one account. Raises `KeyRefused`."""
        owned = [key for key in await self._accounts.list_keys() if key.account.name == name]
        if not owned:
            raise KeyRefused(f"no account is called {name!r}: list the keys to see which there are")
        return [key for key in owned if await self._accounts.revoke_key(key.id)]


def _account_id(name: str) -> str:
    if len(name) > _MAX_NAME_CHARS:
        raise KeyRefused(f"an account's name has at most {_MAX_NAME_CHARS} characters")
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug or not name.isprintable():
        raise KeyRefused("an account's name is printable and has a letter from a to z or a digit")
    if f"acct_{slug}" == _OF_MAKE_UP:
        raise KeyRefused("`local` is the account of `make up` itself: choose another name")
    return f"acct_{slug}"


def _as_wished(found: Account, wish: KeyWish) -> Account:
    kind = wish.kind or found.kind
    if kind is not found.kind and not wish.changes_kind:
        raise KeyRefused(
            f"the account {found.name!r} is {_KINDS[found.kind]}: with --change-kind it becomes"
            f" {_KINDS[kind]}, and its keys reach other people's memory than before"
        )
    instructions = found.instructions if wish.instructions is None else wish.instructions
    memory_write = found.memory_write if wish.memory_write is None else wish.memory_write
    return replace(found, kind=kind, instructions=instructions, memory_write=memory_write)


def _key_id(key: str) -> str:
    key = key.strip()
    if re.fullmatch(r"[A-Za-z0-9]{1,64}", key):
        return key
    try:
        return keys.parse(key).id
    except InvalidKey:  # it may be a secret with a slip in it, and is not repeated
        raise KeyRefused(
            "this is neither a key nor the id of one: list the keys to see which there are"
        ) from None
