"""What a turn heard, as whoever goes on with it asks for it again."""

from services.context_assembly.api import Compacted, Context
from services.gateway.steps import (
    Assembled,
    Dropped,
    Heard,
    Shortened,
    Step,
    ToolBegun,
    ToolDone,
    past_of,
    without_last,
)
from services.inference.api import Delta, Piece, Usage
from services.shared.conversation import Text
from services.tool_runner.api import Outcome

FOUR = Outcome((Text("4"),))


def piece(*ids: int, text: str = "") -> Piece:
    return Piece((Delta(0, ids, text),))


def test_the_past_has_each_kind_of_step_in_its_order() -> None:
    summary = Compacted("they spoke", (), Usage())
    past = past_of(
        [
            Assembled(Context((1, 2))),
            Shortened(summary),
            Heard(0, piece(5)),
            ToolBegun("call_1"),
            ToolDone("call_1", FOUR),
            Assembled(Context((1, 2, 3))),
            Heard(1, piece(6)),
            Heard(1, piece(7)),
            ToolBegun("call_2"),
        ]
    )
    assert [context.prompt_ids for context in past.contexts] == [(1, 2), (1, 2, 3)]
    assert past.summaries == [summary]
    assert past.rounds == {0: [piece(5)], 1: [piece(6), piece(7)]}
    assert past.outcomes == {"call_1": FOUR}
    assert past.begun == {"call_1", "call_2"}


def test_a_round_that_began_anew_is_forgotten() -> None:
    past = past_of([Heard(0, piece(5)), Dropped(0, 0, whole=True), Heard(0, piece(6))])
    assert past.rounds == {0: [piece(6)]}


def test_tokens_that_had_no_text_yet_are_not_counted() -> None:
    heard = [piece(1, 2, text="ab"), piece(3, 4, text="c"), piece(5)]
    assert without_last(heard, 2) == [piece(1, 2, text="ab"), piece(3, text="c"), piece()]
    past = past_of([*(Heard(0, each) for each in heard), Dropped(0, 2), Heard(0, piece(9))])
    assert [each.deltas[0].ids for each in past.rounds[0]] == [(1, 2), (3,), (), (9,)]


def test_what_was_used_is_what_rounds_said_or_what_was_heard_of_them() -> None:
    ended = Piece((Delta(0),), Usage(10, 4, 2))
    steps: list[Step] = [Assembled(Context((1,) * 10)), Heard(0, piece(1, 2)), Heard(0, ended)]
    assert past_of(steps).used == Usage(10, 4, 2)
    more: list[Step] = [Assembled(Context((1,) * 15)), Heard(1, piece(3)), Heard(1, piece(4))]
    assert past_of([*steps, *more]).used == Usage(25, 4, 4)
    assert past_of([Assembled(Context((1,) * 10))]).used == Usage()
