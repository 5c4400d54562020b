"""A response is the same after it was kept as a turn's document."""

from services.context_assembly.api import Turn
from services.gateway import documents
from services.gateway.api import Response, Status
from services.inference.api import Usage
from services.shared.conversation import Role, said
from services.shared.scope import Scope


def test_a_response_is_read_back_as_it_was() -> None:
    output = (said("msg_1", Role.ASSISTANT, "Hello."),)
    usage = Usage(10, 4, 3, 1)
    for status in Status:
        response = Response("resp_2", "demo", "resp_1", 5, 9, status, output, usage, '{"a": 1}')
        turn = Turn(
            id="resp_2",
            scope=Scope("acme", "main"),
            parent_id="resp_1",
            created_at_ms=5,
            input=(),
            output=output,
            memory_ids=(),
            document=documents.dump(response),
        )
        assert documents.load(turn) == response
