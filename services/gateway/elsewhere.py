"""Turns that live in other gateways: what is asked of them, and who reads them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from services.gateway.letters import Letter, LetterReply, Wanted
from services.gateway.plain import NotPlain, dumped, loaded
from services.gateway.ports import Mail, Presence
from services.gateway.steering import Steer
from services.shared.background import end, failure_of, in_background
from services.shared.conversation import Item
from services.shared.errors import MeshError, Unavailable

# How often a reader says that it reads, and how long others believe it, in seconds.
_SAID_EVERY, _BELIEVED = 2.0, 6.0
# How long a turn may take to stop, in seconds.
_STOP_SECONDS = 15.0


class Elsewhere:
    """Raises `Unavailable` where the gateway of a turn does not answer; it may have died."""

    def __init__(self, presence: Presence, mail: Mail, *, turn_seconds: float) -> None:
        self._presence = presence
        self._mail = mail
        self._turn_seconds = turn_seconds
        self._steering: set[asyncio.Task[None]] = set()

    async def cancel(self, response_id: str) -> None:
        await self._asked(Letter(Wanted.CANCEL, response_id), _STOP_SECONDS)

    async def erase(self, response_id: str) -> None:
        await self._asked(Letter(Wanted.ERASE, response_id), _STOP_SECONDS)

    async def input_of(self, response_id: str) -> Sequence[Item] | None:
        return (await self._asked(Letter(Wanted.INPUT, response_id), _STOP_SECONDS)).items

    def steer(self, response_id: str, words: Sequence[Item]) -> Steer:
        """Words on their way to the turn; what becomes of them is told later."""
        steer = Steer(tuple(words))
        task = asyncio.create_task(self._steer(response_id, steer))
        self._steering.add(task)
        task.add_done_callback(self._steering.discard)
        return steer

    async def serve(self, answer: Callable[[Letter], Awaitable[LetterReply]]) -> None:
        """Answers the letters to this gateway, for ever.

        When it is cancelled, words that `steer` has under way are refused.
        """

        async def answered(request: bytes) -> bytes:
            try:
                return dumped(await answer(loaded(request)))
            except NotPlain:  # of another release
                return b""

        try:
            await self._mail.serve(answered)
        finally:
            await end(*self._steering)

    @asynccontextmanager
    async def attending(
        self, response_id: str, *, unless: Callable[[], bool]
    ) -> AsyncIterator[None]:
        """While within, the turn has a reader here, which every gateway may know."""
        reader = secrets.token_hex(8)

        async def attend() -> None:
            while True:
                if not unless():
                    attending = self._presence.attend(response_id, reader, seconds=_BELIEVED)
                    await failure_of(attending)
                await asyncio.sleep(_SAID_EVERY)

        try:
            async with in_background(attend):
                yield
        finally:
            await failure_of(self._presence.leave(response_id, reader))

    async def attended(self, response_id: str) -> bool:
        """Whether anybody reads the turn. Nobody, where that cannot be known."""
        try:
            return await self._presence.attended(response_id)
        except Unavailable:
            return False

    async def _steer(self, response_id: str, steer: Steer) -> None:
        try:
            letter = Letter(Wanted.STEER, response_id, steer.words)
            steer.taken_in((await self._asked(letter, self._turn_seconds)).response_id)
        except MeshError as error:
            steer.refuse(error)
        except asyncio.CancelledError:
            steer.refuse(Unavailable("this gateway stops: send the words again", service="gateway"))
            raise

    async def _asked(self, letter: Letter, seconds: float) -> LetterReply:
        said = await self._mail.ask(letter.response_id, dumped(letter), seconds=seconds)
        try:
            reply: LetterReply = loaded(said)
        except NotPlain:
            raise Unavailable(
                "the response is made by a gateway of another release", service="gateway"
            ) from None
        if reply.failure:
            raise reply.failure.error()
        return reply
