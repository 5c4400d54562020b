"""What another gateway is answered about the turns that live here."""

import asyncio
from dataclasses import replace

from services.gateway.api import Failed, SteeringRefused
from services.gateway.letter_answers import LetterAnswers
from services.gateway.letters import Letter, LetterReply, Wanted
from tests.unit.gateway.test_live_turns import ADA, HELLO, Turns, WordLoop

ALONE = replace(HELLO, background=True)


async def test_a_turn_is_stopped_when_another_gateway_asks() -> None:
    turns = Turns(WordLoop(10, pause_before=5))
    response_id = await turns.live.start(ADA, ALONE)
    await asyncio.wait_for(turns.loop.paused.wait(), 5)
    answers = LetterAnswers(turns.live)
    assert await answers.answer(Letter(Wanted.CANCEL, response_id)) == LetterReply()
    last = (await turns.read(response_id))[-1].event
    assert isinstance(last, Failed)
    assert last.reason == "gateway.TurnCancelled"
    turns.check_given_back(5)


async def test_of_a_turn_that_is_not_here_there_is_nothing_to_tell() -> None:
    answers = LetterAnswers(Turns(WordLoop()).live)
    for wanted in (Wanted.CANCEL, Wanted.ERASE, Wanted.INPUT):
        assert await answers.answer(Letter(wanted, "resp_1")) == LetterReply()
    refused = await answers.answer(Letter(Wanted.STEER, "resp_1", HELLO.input))
    assert refused.failure
    assert isinstance(refused.failure.error(), SteeringRefused)
