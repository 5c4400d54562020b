"""How far a turn is ahead of those who read it, and how it is stopped."""

from dataclasses import replace

from services.gateway.api import TurnCancelled, TurnStopped
from services.gateway.live_turn import LiveTurn, moved, stop
from services.gateway.reply import TurnProgress
from tests.unit.gateway.test_live_turns import ADA, HELLO


def turn(*, background: bool = False) -> LiveTurn:
    ask = replace(HELLO, background=background)
    return LiveTurn(ADA, ask, ADA.account.scope(""), TurnProgress("resp_1"), epoch=1, length=300)


def test_the_foremost_reader_counts() -> None:
    read = turn()
    assert read.ahead == 0, "nobody reads it yet"
    slow, fast = object(), object()
    read.readers = {slow: 0, fast: 0}
    assert read.ahead == 300
    moved(read, fast, 299)
    assert read.ahead == 1


def test_a_turn_in_the_background_waits_for_no_reader() -> None:
    alone = turn(background=True)
    alone.readers = {object(): 0}
    assert alone.ahead == 0


def test_the_first_reason_to_stop_is_the_one() -> None:
    stopped = turn()
    stop(stopped, TurnCancelled("first"))
    stop(stopped, TurnStopped("second"))
    assert isinstance(stopped.stopped_by, TurnCancelled)


def test_what_is_ending_is_not_stopped() -> None:
    ending = turn()
    ending.ending = True
    stop(ending, TurnStopped("too late"))
    assert ending.stopped_by is None
