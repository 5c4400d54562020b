"""Which keys are made for whom, and which are revoked."""

import pytest

from services.gateway import keys
from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.api import InvalidKey
from services.gateway.authenticator import Authenticator
from services.gateway.key_issuer import KeyIssuer, KeyRefused, KeyWish
from services.gateway.ports import Account, AccountKind

PERSONAL, APPLICATION = AccountKind.PERSONAL, AccountKind.APPLICATION


class Desk:
    def __init__(self) -> None:
        accounts = InMemoryAccounts()
        self.authenticator = Authenticator(accounts, pepper=b"pepper")
        self.issuer = KeyIssuer(accounts, self.authenticator)

    async def account(self, key: str) -> Account:
        return (await self.authenticator.authenticate(key)).account


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_name_gets_an_account_and_later_keys_are_of_the_same_one(desk: Desk) -> None:
    first = await desk.issuer.create(KeyWish("Team A"))
    second = await desk.issuer.create(KeyWish("Team A"))
    assert first != second
    assert await desk.account(first) == await desk.account(second)
    assert await desk.account(first) == Account("acct_team-a", "Team A", PERSONAL)


@pytest.mark.parametrize("alike", ["team-a", "TEAM A", "Team A ", "team.a"])
async def test_a_name_that_is_too_much_like_another_is_refused(desk: Desk, alike: str) -> None:
    key = await desk.issuer.create(KeyWish("Team A"))
    with pytest.raises(KeyRefused, match="too much like 'Team A'"):
        await desk.issuer.create(KeyWish(alike, APPLICATION))
    assert (await desk.account(key)).name == "Team A"
    assert len(await desk.issuer.list_keys()) == 1


@pytest.mark.parametrize("name", ["local", "Local", " local!"])
async def test_the_account_of_make_up_gets_no_other_keys(desk: Desk, name: str) -> None:
    with pytest.raises(KeyRefused, match="`make up` itself"):
        await desk.issuer.create(KeyWish(name))


@pytest.mark.parametrize("name", ["", "--", "日本", "ada\nb"])
async def test_a_name_must_be_usable(desk: Desk, name: str) -> None:
    with pytest.raises(KeyRefused, match="printable and has a letter"):
        await desk.issuer.create(KeyWish(name))


async def test_a_second_key_leaves_the_account_as_it_is(desk: Desk) -> None:
    first = await desk.issuer.create(KeyWish("shop", APPLICATION, "Be brief."))
    await desk.issuer.create(KeyWish("shop"))
    assert await desk.account(first) == Account("acct_shop", "shop", APPLICATION, "Be brief.")
    await desk.issuer.create(KeyWish("shop", APPLICATION, ""))
    assert await desk.account(first) == Account("acct_shop", "shop", APPLICATION, "")


async def test_that_the_model_may_remember_is_said_once_and_can_be_taken_back(desk: Desk) -> None:
    key = await desk.issuer.create(KeyWish("ada"))
    assert not (await desk.account(key)).memory_write
    for said, memory_write in ((True, True), (None, True), (False, False), (None, False)):
        await desk.issuer.create(KeyWish("ada", memory_write=said))
        assert (await desk.account(key)).memory_write is memory_write


async def test_a_name_is_no_longer_than_a_name_need_be(desk: Desk) -> None:
    await desk.issuer.create(KeyWish("a" * 200))
    with pytest.raises(KeyRefused, match="at most 200 characters"):
        await desk.issuer.create(KeyWish("a" * 201))


@pytest.mark.parametrize(("before", "after"), [(PERSONAL, APPLICATION), (APPLICATION, PERSONAL)])
async def test_a_kind_is_changed_only_on_purpose(
    desk: Desk, before: AccountKind, after: AccountKind
) -> None:
    key = await desk.issuer.create(KeyWish("shop", before))
    with pytest.raises(KeyRefused, match="--change-kind"):
        await desk.issuer.create(KeyWish("shop", after))
    assert (await desk.account(key)).kind is before
    await desk.issuer.create(KeyWish("shop", after, changes_kind=True))
    assert (await desk.account(key)).kind is after


@pytest.mark.parametrize("whole", [False, True])
async def test_one_key_is_revoked_by_its_id_or_as_a_whole(desk: Desk, *, whole: bool) -> None:
    first, second = [await desk.issuer.create(KeyWish("ada")) for _ in range(2)]
    revoked = await desk.issuer.revoke(first if whole else keys.parse(first).id)
    assert revoked.account.name == "ada"
    with pytest.raises(InvalidKey):
        await desk.account(first)
    assert await desk.account(second)
    with pytest.raises(KeyRefused, match="revoked before"):
        await desk.issuer.revoke(first)
    with pytest.raises(KeyRefused, match="there is no key abcdefgh"):
        await desk.issuer.revoke("abcdefgh")


async def test_a_key_is_pasted_with_blanks_around_it(desk: Desk) -> None:
    key = await desk.issuer.create(KeyWish("ada"))
    assert (await desk.issuer.revoke(f" {key}\n")).id == keys.parse(key).id


@pytest.mark.parametrize("wrong", ["{}x", "Bearer {}", "{}\x00", "", "\x00", "\ud800"])
async def test_what_is_no_key_is_refused_and_not_repeated(desk: Desk, wrong: str) -> None:
    key = await desk.issuer.create(KeyWish("ada"))
    with pytest.raises(KeyRefused, match="neither a key nor the id of one") as refused:
        await desk.issuer.revoke(wrong.format(key))
    assert keys.parse(key).secret not in str(refused.value)
    assert await desk.account(key)


async def test_all_keys_of_an_account_are_revoked_and_of_no_other(desk: Desk) -> None:
    ada = [await desk.issuer.create(KeyWish("ada")) for _ in range(2)]
    bob = await desk.issuer.create(KeyWish("bob"))
    await desk.issuer.revoke(ada[0])
    assert [key.id for key in await desk.issuer.revoke_all("ada")] == [keys.parse(ada[1]).id]
    assert await desk.issuer.revoke_all("ada") == []
    assert await desk.account(bob)
    assert [(key.account.name, key.revoked) for key in await desk.issuer.list_keys()] == [
        *[("ada", True)] * 2,
        ("bob", False),
    ]
    with pytest.raises(KeyRefused, match="no account is called 'Ada'"):
        await desk.issuer.revoke_all("Ada")
