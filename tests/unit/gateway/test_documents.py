"""A response is the same after it was kept as a turn's document."""

import json

from services.context_assembly.api import Turn
from services.gateway import documents
from services.gateway.api import Response, Status
from services.inference.api import TokenLogprob, Usage
from services.shared.conversation import Role, said
from services.shared.scope import Scope

EARLIER, OWN = said("msg_a", Role.USER, "a"), said("msg_b", Role.USER, "b")


def test_a_response_is_read_back_as_it_was() -> None:
    output = (said("msg_1", Role.ASSISTANT, "Hello."),)
    usage = Usage(10, 4, 3, 1)
    for status in Status:
        response = Response("resp_2", "demo", "resp_1", 5, 9, status, output, usage, '{"a": 1}')
        turn = Turn(
            id="resp_2",
            scope=Scope("acme", "main"),
            parent_id="resp_0",
            created_at_ms=5,
            input=(EARLIER, OWN),
            output=output,
            memory_ids=(),
            document=documents.dump(response, earlier=1),
        )
        assert documents.load(turn) == response
        assert documents.own_input(turn) == (OWN,)


def test_log_probabilities_are_kept_unless_they_are_too_many() -> None:
    likeliest = tuple(TokenLogprob(n, "a", -1.5) for n in range(20))
    token = TokenLogprob(7, "a", -0.5, likeliest)
    assert kept_logprobs((token,) * 400) == {"msg_1": (token,) * 400}
    assert kept_logprobs((token,) * 500) == {}
    assert kept_logprobs(()) == {}


def kept_logprobs(tokens: tuple[TokenLogprob, ...]) -> object:
    output = (said("msg_1", Role.ASSISTANT, "a"),)
    told = {"msg_1": tokens} if tokens else {}
    response = Response(
        "resp_2", "demo", "", 5, 9, Status.COMPLETED, output, Usage(), logprobs=told
    )
    document = documents.dump(response, earlier=0)
    turn = Turn("resp_2", Scope("acme", "main"), "", 5, (), output, (), document=document)
    return documents.load(turn).logprobs


def test_a_response_of_an_older_release_names_its_parent_and_brought_all_its_input() -> None:
    kept = {"model": "demo", "status": "completed", "completed_at_ms": 9, "echo": "", "usage": {}}
    turn = Turn(
        id="resp_2",
        scope=Scope("acme", "main"),
        parent_id="resp_1",
        created_at_ms=5,
        input=(EARLIER, OWN),
        output=(),
        memory_ids=(),
        document=json.dumps(kept),
    )
    assert documents.load(turn).previous_response_id == "resp_1"
    assert documents.own_input(turn) == (EARLIER, OWN)
