"""Who is recognised by a key, and who is not."""

from dataclasses import replace

import pytest

from services.gateway import keys
from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.api import InvalidKey
from services.gateway.authenticator import Authenticator
from services.gateway.ports import Account, AccountKind
from services.gateway.sealing import BrokenSeal

ADA = Account("acct_1", "Ada", AccountKind.PERSONAL)


async def test_the_holder_of_a_key_is_recognised() -> None:
    authenticator = Authenticator(InMemoryAccounts(), pepper=b"pepper")
    key = await authenticator.create_key(ADA)
    principal = await authenticator.authenticate(key)
    assert (principal.account, principal.key_id) == (ADA, keys.parse(key).id)


async def test_all_keys_of_an_account_open_what_one_of_them_sealed() -> None:
    authenticator = Authenticator(InMemoryAccounts(), pepper=b"pepper")
    first, second = [await authenticator.create_key(ADA) for _ in range(2)]
    stranger = await authenticator.create_key(replace(ADA, id="acct_2"))
    sealed = (await authenticator.authenticate(first)).sealer.seal("compaction", "Ulm")
    assert (await authenticator.authenticate(second)).sealer.open("compaction", sealed) == "Ulm"
    with pytest.raises(BrokenSeal):
        (await authenticator.authenticate(stranger)).sealer.open("compaction", sealed)


async def test_every_key_of_an_account_is_another_one() -> None:
    authenticator = Authenticator(InMemoryAccounts(), pepper=b"pepper")
    assert len({await authenticator.create_key(ADA) for _ in range(20)}) == 20


async def test_a_key_with_another_secret_is_refused() -> None:
    authenticator = Authenticator(InMemoryAccounts(), pepper=b"pepper")
    key = keys.parse(await authenticator.create_key(ADA))
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(str(replace(keys.mint(), id=key.id)))


async def test_a_key_under_another_pepper_is_refused() -> None:
    accounts = InMemoryAccounts()
    key = await Authenticator(accounts, pepper=b"pepper").create_key(ADA)
    with pytest.raises(InvalidKey):
        await Authenticator(accounts, pepper=b"salt").authenticate(key)


async def test_unknown_mistyped_and_absent_keys_are_refused() -> None:
    authenticator = Authenticator(InMemoryAccounts(), pepper=b"pepper")
    key = await authenticator.create_key(ADA)
    for wrong in ("", key[:-1], f"{key[:-1]}x", str(keys.mint())):
        with pytest.raises(InvalidKey):
            await authenticator.authenticate(wrong)


async def test_a_revoked_key_is_refused() -> None:
    authenticator = Authenticator(InMemoryAccounts(), pepper=b"pepper")
    key = await authenticator.create_key(ADA)
    await authenticator.revoke_keys(ADA)
    with pytest.raises(InvalidKey):
        await authenticator.authenticate(key)
