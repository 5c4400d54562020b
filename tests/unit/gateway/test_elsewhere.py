"""What is asked of turns in other gateways, and what is believed of their readers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.gateway.api import Failed, TurnStopped
from services.gateway.elsewhere import Elsewhere
from services.gateway.letters import Letter, LetterReply, Wanted
from services.shared.background import in_background
from services.shared.conversation import Role, said
from services.shared.errors import Unavailable

WORDS = (said("msg_1", Role.USER, "and now?"),)


class Post:
    """`Mail` and `Presence` of one gateway, which asks itself."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], Awaitable[bytes]] | None = None
        self.readers: set[str] = set()
        self.came = asyncio.Event()
        self.lost = False

    async def ask(self, response_id: str, request: bytes, *, seconds: float) -> bytes:
        if self.answer is None:
            raise Unavailable("nobody answers", service="gateway")
        return await self.answer(request)

    async def serve(self, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        self.answer = answer
        self.came.set()
        await asyncio.Event().wait()

    async def attend(self, response_id: str, reader: str, *, seconds: float) -> None:
        self.readers.add(reader)
        self.came.set()

    async def leave(self, response_id: str, reader: str) -> None:
        self.readers.discard(reader)

    async def attended(self, response_id: str) -> bool:
        if self.lost:
            raise Unavailable("redis is lost", service="redis")
        return bool(self.readers)


async def answered(letter: Letter) -> LetterReply:
    match letter.wanted:
        case Wanted.INPUT:
            return LetterReply(items=WORDS)
        case Wanted.STEER:
            return LetterReply(response_id=f"after {letter.words[0].id}")
        case Wanted.ERASE:
            return LetterReply(Failed.with_error(TurnStopped("it was stopped")))
    return LetterReply()


async def test_each_question_has_its_answer_or_its_error() -> None:
    post = Post()
    elsewhere = Elsewhere(post, post, turn_seconds=30)
    async with in_background(lambda: elsewhere.serve(answered)):
        await asyncio.wait_for(post.came.wait(), 5)
        await elsewhere.cancel("resp_1")
        assert await elsewhere.input_of("resp_1") == WORDS
        assert await elsewhere.steer("resp_1", WORDS).told() == "after msg_1"
        with pytest.raises(TurnStopped):
            await elsewhere.erase("resp_1")


async def test_a_gateway_that_has_died_does_not_answer() -> None:
    post = Post()
    elsewhere = Elsewhere(post, post, turn_seconds=30)
    with pytest.raises(Unavailable):
        await elsewhere.cancel("resp_1")
    with pytest.raises(Unavailable):
        await elsewhere.steer("resp_1", WORDS).told()


async def test_words_on_their_way_are_refused_when_their_gateway_stops() -> None:
    """A letter that is still out would use the connection to Redis after it is closed."""
    post = Post()
    elsewhere = Elsewhere(post, post, turn_seconds=30)
    arrived = asyncio.Event()

    async def slow(letter: Letter) -> LetterReply:
        arrived.set()
        await asyncio.Event().wait()
        return LetterReply()

    async with in_background(lambda: elsewhere.serve(slow)):
        await asyncio.wait_for(post.came.wait(), 5)
        steer = elsewhere.steer("resp_1", WORDS)
        await asyncio.wait_for(arrived.wait(), 5)
    with pytest.raises(Unavailable, match="this gateway stops"):
        await asyncio.wait_for(steer.told(), 5)


async def test_letters_of_another_release_are_no_bug() -> None:
    post = Post()
    elsewhere = Elsewhere(post, post, turn_seconds=30)
    async with in_background(lambda: elsewhere.serve(answered)):
        await asyncio.wait_for(post.came.wait(), 5)
        assert post.answer
        assert await post.answer(b'{"=": "Newer"}') == b""

        async def newer(_: bytes) -> bytes:
            return b'{"=": "Newer"}'

        post.answer = newer
        with pytest.raises(Unavailable, match="another release"):
            await elsewhere.cancel("resp_1")


async def test_a_reader_is_there_until_it_leaves() -> None:
    post = Post()
    elsewhere = Elsewhere(post, post, turn_seconds=30)
    async with elsewhere.attending("resp_1", unless=lambda: False):
        await asyncio.wait_for(post.came.wait(), 5)
        assert await elsewhere.attended("resp_1")
        post.lost = True
        assert not await elsewhere.attended("resp_1")
        post.lost = False
    assert not await elsewhere.attended("resp_1")


async def test_nobody_hears_of_the_reader_of_a_turn_that_is_here_alone() -> None:
    post = Post()
    elsewhere = Elsewhere(post, post, turn_seconds=30)
    asked = asyncio.Event()

    def alone() -> bool:
        asked.set()
        return True

    async with elsewhere.attending("resp_1", unless=alone):
        await asyncio.wait_for(asked.wait(), 5)
        assert not await elsewhere.attended("resp_1")
