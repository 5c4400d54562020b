"""What other gateways ask of the turns that live here."""

from services.gateway.api import Failed
from services.gateway.letters import Letter, LetterReply, Wanted
from services.gateway.live_turns import LiveTurns
from services.gateway.steering import over
from services.shared.background import failure_of


class LetterAnswers:
    def __init__(self, live_turns: LiveTurns) -> None:
        self._live_turns = live_turns

    async def answer(self, letter: Letter) -> LetterReply:
        """What another gateway asks of a turn that lives here."""
        reply = LetterReply()

        async def act() -> None:
            nonlocal reply
            reply = await self._done(letter)

        failure = await failure_of(act())
        return LetterReply(Failed.with_error(failure)) if failure else reply

    async def _done(self, letter: Letter) -> LetterReply:
        if not self._live_turns.is_under_way(letter.response_id):
            if letter.wanted is Wanted.STEER:
                raise over()
            return LetterReply()
        match letter.wanted:
            case Wanted.CANCEL:
                await self._live_turns.cancel(letter.response_id)
            case Wanted.ERASE:
                await self._live_turns.erase(letter.response_id)
            case Wanted.INPUT:
                items = await self._live_turns.input_of(letter.response_id)
                return LetterReply(items=None if items is None else tuple(items))
            case Wanted.STEER:
                steer = await self._live_turns.steer(letter.response_id, letter.words)
                return LetterReply(response_id=await steer.told())
        return LetterReply()
