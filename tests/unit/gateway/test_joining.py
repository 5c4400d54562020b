"""Pieces that wait for their hearer come as one, and nothing of them is lost."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from services.gateway.joining import joined
from services.inference.api import CallDelta, Delta, FinishReason, Piece, Usage
from services.shared.errors import Unavailable


class Model:
    """Says its pieces one after the other, and counts how far it has come."""

    def __init__(self, said: Sequence[Piece], failure: Exception | None = None) -> None:
        self._said = said
        self._failure = failure
        self.taken = 0
        self.closed = False

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        try:
            for piece in self._said:
                await asyncio.sleep(0)
                yield piece
                self.taken += 1
            if self._failure:
                raise self._failure
        finally:
            self.closed = True


def word(number: int, index: int = 0) -> Piece:
    return Piece((Delta(index, (number,), f"w{number} "),))


async def heard(model: Model, busy_rounds: int) -> list[Piece]:
    """By somebody who is busy with each piece for so many rounds of the loop."""
    heard = []
    async with aclosing(model.pieces()) as pieces, aclosing(joined(pieces)) as together:
        async for piece in together:
            heard.append(piece)
            for _ in range(busy_rounds):
                await asyncio.sleep(0)
    return heard


async def test_what_waits_comes_as_one_with_all_its_tokens() -> None:
    said = [
        *map(word, range(20)),
        Piece((Delta(0, finish_reason=FinishReason.STOP),), Usage(1, 0, 20)),
    ]
    first, second = await heard(Model(said), busy_rounds=50)
    assert first == said[0]
    deltas = [*first.deltas, *second.deltas]
    assert [each for delta in deltas for each in delta.ids] == [*range(20)]
    assert "".join(delta.text for delta in deltas) == "".join(f"w{each} " for each in range(20))
    assert deltas[-1].finish_reason is FinishReason.STOP
    assert second.usage == Usage(1, 0, 20)


async def test_choices_are_joined_each_by_itself() -> None:
    said = [word(number, index=number % 2) for number in range(10)]
    *_, last = await heard(Model(said), busy_rounds=50)
    assert sorted(delta.index for delta in last.deltas) == [0, 1]


async def test_calls_and_reasoning_keep_their_places() -> None:
    call = Piece((Delta(0, (2,), calls=(CallDelta(0, "clock", "{}"),)),))
    thought = Piece((Delta(0, (3,), reasoning="hm"),))
    said = [word(0), word(1), call, thought, thought, word(4), word(5)]
    pieces = await heard(Model(said), busy_rounds=50)
    deltas = [delta for piece in pieces for delta in piece.deltas]
    order = ["call" if each.calls else each.reasoning or each.text for each in deltas]
    assert [*order[-3:]] == ["call", "hmhm", "w4 w5 "]
    assert "".join(order[:-3]) == "w0 w1 "


async def test_a_failure_comes_after_what_was_said_before() -> None:
    model = Model([word(0), word(1)], Unavailable("gone", service="inference"))
    said: list[int] = []
    with pytest.raises(Unavailable, match="gone"):
        async with aclosing(model.pieces()) as pieces, aclosing(joined(pieces)) as together:
            async for piece in together:
                said += piece.deltas[0].ids
    assert said == [0, 1]


async def test_a_model_that_is_too_fast_waits() -> None:
    model = Model([*map(word, range(1000))])
    async with aclosing(model.pieces()) as pieces, aclosing(joined(pieces)) as together:
        await anext(together)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert 60 < model.taken < 70
        rest = [piece async for piece in together]
    assert sum(len(delta.ids) for piece in rest for delta in piece.deltas) > 900
    assert model.taken == 1000


async def test_leaving_early_closes_the_model() -> None:
    model = Model([*map(word, range(1000))])
    async with aclosing(model.pieces()) as pieces, aclosing(joined(pieces)) as together:
        await anext(together)
    assert model.closed
    assert model.taken < 1000
