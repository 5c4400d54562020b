"""Who is asking, by API key."""

import hmac
from dataclasses import dataclass

from services.gateway import keys
from services.gateway.api import InvalidKey
from services.gateway.ports import Account, Accounts
from services.gateway.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a valid key."""

    account: Account
    key_id: str
    # Of the texts that the account's callers keep for us.
    sealer: Sealer


class Authenticator:
    """Recognises API keys and makes them. Fails closed: there is no default identity."""

    def __init__(self, accounts: Accounts, *, pepper: bytes) -> None:
        self._accounts = accounts
        self._pepper = pepper

    async def authenticate(self, text: str) -> Principal:
        key = keys.parse(text)
        stored = await self._accounts.find_key(key.id)
        given = keys.fingerprint(key, self._pepper)
        if stored is None or not hmac.compare_digest(stored.fingerprint, given) or stored.revoked:
            raise InvalidKey("this API key is not valid: make one with `make key`")
        return self.principal_of(stored.account, stored.id)

    def principal_of(self, account: Account, key_id: str) -> Principal:
        """Of a key that was recognised before."""
        return Principal(account, key_id, Sealer(self._pepper, account.id))

    async def create_key(self, account: Account) -> str:
        """A new key for the account, which is made if need be; the only time it is seen whole."""
        key = keys.mint()
        await self._accounts.add_account(account)
        await self._accounts.add_key(key.id, account.id, keys.fingerprint(key, self._pepper))
        return str(key)

    async def revoke_keys(self, account: Account) -> None:
        """Lets nobody in any more with the keys that the account had."""
        await self._accounts.revoke_keys(account.id)
