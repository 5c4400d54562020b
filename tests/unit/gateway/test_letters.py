"""What gateways ask each other, on its way."""

from services.gateway.api import Failed, TurnCancelled
from services.gateway.letters import Letter, LetterReply, Wanted
from services.gateway.plain import dumped, loaded
from services.shared.conversation import Role, said


def test_letters_and_their_answers_travel() -> None:
    words = (said("msg_1", Role.USER, "and now?"),)
    failure = Failed.with_error(TurnCancelled("the response was cancelled", code="x"))
    for each in (
        Letter(Wanted.STEER, "resp_1", words),
        LetterReply(failure),
        LetterReply(items=words),
        LetterReply(items=None, response_id="resp_2"),
    ):
        assert loaded(dumped(each)) == each
