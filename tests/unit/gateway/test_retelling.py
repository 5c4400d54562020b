"""A stored response as events, and events as what is there of a response."""

from dataclasses import replace

import pytest

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    ChoiceEnded,
    Completed,
    Failed,
    Finish,
    ItemDone,
    ReasoningDelta,
    Started,
    Status,
    TextDelta,
    TurnCancelled,
)
from services.gateway.retelling import retold, so_far
from services.inference.api import EngineDead
from services.shared.conversation import Call, Reasoning, Role, said
from tests.unit.gateway.http.played import ended, turn

SAID = said("msg_1", Role.ASSISTANT, "It is 42.")
CALL = Call("fc_1", "call_2", "tell", '{"who": "Ada"}')
THOUGHT = Reasoning("rs_1", "twice 21")


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


ENDS = [status for status in Status if status is not Status.IN_PROGRESS]
STOPPED = {Status.FAILED: EngineDead("died"), Status.CANCELLED: TurnCancelled("cancelled")}


@pytest.mark.parametrize("status", [status for status in ENDS if status not in STOPPED])
def test_every_status_has_its_end(status: Status) -> None:
    *_, last, _ = retold(ended(status).response)
    assert isinstance(last, ChoiceEnded)
    assert (last.finish is Finish.STOP) == (status is Status.COMPLETED)


@pytest.mark.parametrize("status", STOPPED)
def test_what_failed_or_was_cancelled_is_told_to_have_done_so(status: Status) -> None:
    failed = Failed.with_error(STOPPED[status])
    assert failed.ends_as is status
    *_, item, last = retold(replace(ended(status).response, error=failed))
    assert isinstance(item, ItemDone)
    assert last == failed


def test_of_a_turn_under_way_the_whole_items_are_there() -> None:
    for count, event in enumerate(turn(), start=1):
        response = so_far(turn()[:count]).under_way()
        done = [each.item for each in turn()[:count] if isinstance(each, ItemDone)]
        assert (response.status, response.output) == (Status.IN_PROGRESS, tuple(done)), event


def test_what_failed_keeps_all_that_it_has_said() -> None:
    failed = Failed.with_error(EngineDead("died"))
    events = turn()
    half = so_far(events[: events.index(ItemDone(0, SAID))]).failed(failed)
    assert half.output[-1] == SAID
    assert half.unfinished == {SAID.id}
    call = so_far(events[: events.index(ItemDone(0, CALL)) - 1]).failed(failed)
    assert call.output[-1] == replace(CALL, arguments='{"who": ')
    assert call.unfinished == {CALL.id}
    thought = so_far(events[:2]).failed(failed)
    assert thought.output == (replace(THOUGHT, id="rs_1"),)
    running = so_far(events[:4]).failed(failed)
    assert running.unfinished == {"mcp_1"}
    whole = so_far(events[:-1]).failed(failed)
    assert (whole.output, whole.unfinished) == (ended().response.output, frozenset())


def test_only_the_first_choice_is_kept() -> None:
    other = (TextDelta(1, "msg_9", "other"), ItemDone(1, said("msg_9", Role.ASSISTANT, "other")))
    assert so_far([*turn()[:2], *other]).failed(Failed.with_error(EngineDead("x"))).output == (
        replace(THOUGHT, text="twice 21"),
    )
