"""A request that is sent again is one turn, unless it failed."""

import asyncio

import pytest

from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.api import KeyReused, Once
from services.gateway.ports import KeyUse
from services.gateway.repeats import Repeats
from services.shared.errors import Overloaded

ONCE = Once("k", b"digest")


class Turns:
    """What was started; those in `failed` have no answer."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.failed: set[str] = set()
        self.full = False
        self.keys = InMemoryAccounts()
        self.repeats = Repeats(self.keys, secret=b"secret")

    async def ask(self, response_id: str, once: Once = ONCE, organisation: str = "acct_1") -> str:
        return await self.repeats.once(
            organisation,
            once,
            response_id,
            start=lambda: self._start(response_id),
            is_answer=self._is_answer,
        )

    async def _start(self, response_id: str) -> None:
        await asyncio.sleep(0)
        if self.full:
            raise Overloaded("full")
        self.started.append(response_id)

    async def _is_answer(self, use: KeyUse) -> bool:
        await asyncio.sleep(0)
        return use.response_id not in self.failed


async def test_the_same_request_starts_one_turn() -> None:
    turns = Turns()
    asked = await asyncio.gather(*(turns.ask(f"resp_{n}") for n in range(5)))
    assert asked == ["resp_0"] * 5
    assert turns.started == ["resp_0"]


async def test_another_request_is_refused() -> None:
    turns = Turns()
    await turns.ask("resp_1")
    with pytest.raises(KeyReused):
        await turns.ask("resp_2", Once("k", b"another"))
    assert turns.started == ["resp_1"]


async def test_keys_are_of_one_organisation() -> None:
    turns = Turns()
    await turns.ask("resp_1")
    assert await turns.ask("resp_2", organisation="acct_2") == "resp_2"


async def test_what_failed_is_started_anew_once() -> None:
    turns = Turns()
    await turns.ask("resp_1")
    turns.failed.add("resp_1")
    asked = await asyncio.gather(*(turns.ask(f"resp_{n}") for n in range(2, 6)))
    assert len(set(asked)) == 1
    assert turns.started == ["resp_1", asked[0]]


async def test_what_could_not_be_started_leaves_the_key_free() -> None:
    turns = Turns()
    turns.full = True
    with pytest.raises(Overloaded):
        await turns.ask("resp_1")
    turns.full = False
    assert await turns.ask("resp_2", Once("k", b"another")) == "resp_2"


async def test_no_digest_is_kept_as_it_came() -> None:
    turns = Turns()
    await turns.ask("resp_1")
    (use,) = turns.keys._uses.values()
    assert ONCE.digest not in use.fingerprint


async def test_keys_are_forgotten_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    now = 10**18
    monkeypatch.setattr("time.time_ns", lambda: now)
    await turns.ask("resp_1")
    now += 24 * 3600 * 10**9
    await turns.repeats.forget_old()
    assert await turns.ask("resp_2") == "resp_1"
    now += 10**9
    await turns.repeats.forget_old()
    assert await turns.ask("resp_3") == "resp_3"
