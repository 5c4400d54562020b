"""A stored response as events."""

import pytest

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    ChoiceEnded,
    Completed,
    Finish,
    ItemDone,
    ReasoningDelta,
    Started,
    Status,
    TextDelta,
)
from services.gateway.retelling import retold
from tests.unit.gateway.http.played import ended, turn


def test_what_is_told_again_is_what_was_told_in_larger_pieces() -> None:
    response = ended().response
    events = [*retold(response)]
    assert [type(event) for event in events] == [
        Started,
        *(ReasoningDelta, ItemDone),
        *(CallStarted, ItemDone),
        *(TextDelta, ItemDone),
        *(CallStarted, ArgumentsDelta, ItemDone),
        ChoiceEnded,
        Completed,
    ]
    assert [e for e in events if isinstance(e, ItemDone | CallStarted)] == [
        e for e in turn() if isinstance(e, ItemDone | CallStarted)
    ]
    assert events[-1] == Completed(response)


@pytest.mark.parametrize("status", Status)
def test_every_status_has_its_end(status: Status) -> None:
    *_, last, _ = retold(ended(status).response)
    assert isinstance(last, ChoiceEnded)
    assert (last.finish is Finish.STOP) == (status is Status.COMPLETED)
