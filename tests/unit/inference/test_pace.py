"""How fast the engine generates, whatever its consumers do."""

from collections.abc import Sequence

import pytest

from services.inference.api import Delta, FinishReason
from services.inference.pace import EnginePace, GenerationTimer
from tests.fakes.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> EnginePace:
    return EnginePace(clock)


def tokens(count: int, finish: FinishReason | None = None) -> Sequence[Delta]:
    return [Delta(0, ids=range(count), finish_reason=finish)]


def run(pace: EnginePace, clock: Clock, *, seconds_per_token: float) -> None:
    """One generation of eleven tokens."""
    with pace.timed(1) as timer:
        timer.output_came(tokens(1))
        clock.now += 10 * seconds_per_token
        timer.output_came(tokens(10))


@pytest.mark.parametrize(("seconds_per_token", "interval"), [(0.001, 8), (0.01, 2), (0.03, 1)])
def test_few_streams_get_their_tokens_forty_times_a_second(
    pace: EnginePace, clock: Clock, seconds_per_token: float, interval: int
) -> None:
    run(pace, clock, seconds_per_token=seconds_per_token)
    assert pace.stream_interval(8) == interval


@pytest.mark.parametrize(("seconds_per_token", "interval"), [(0.001, 8), (0.03, 3), (0.5, 1)])
def test_many_streams_get_their_tokens_ten_times_a_second(
    pace: EnginePace, clock: Clock, seconds_per_token: float, interval: int
) -> None:
    run(pace, clock, seconds_per_token=seconds_per_token)
    assert pace.stream_interval(9) == interval


def test_an_engine_whose_pace_is_unknown_sends_every_token(pace: EnginePace) -> None:
    assert pace.stream_interval(9) == 1


def test_the_pace_follows_the_newest_generations(pace: EnginePace, clock: Clock) -> None:
    run(pace, clock, seconds_per_token=0.01)
    for _ in range(30):
        run(pace, clock, seconds_per_token=0.05)
    assert pace.stream_interval(9) == 2


def test_a_generation_that_failed_is_learnt_from(pace: EnginePace, clock: Clock) -> None:
    with pytest.raises(RuntimeError), pace.timed(1) as timer:
        timer.output_came(tokens(1))
        clock.now += 0.5
        timer.output_came(tokens(10))
        raise RuntimeError
    assert pace.stream_interval(9) == 2


def test_what_comes_while_the_consumer_is_busy_counts_with_its_time(clock: Clock) -> None:
    timer = GenerationTimer(1, clock)
    timer.output_came(tokens(1))
    clock.now += 2
    timer.output_came(tokens(200))
    assert timer.seconds_per_token == pytest.approx(0.01)


def test_an_end_that_lay_unread_is_not_counted(clock: Clock) -> None:
    timer = GenerationTimer(1, clock)
    timer.output_came(tokens(1))
    clock.now += 1
    timer.output_came(tokens(100))
    clock.now += 1000
    timer.output_came(tokens(3, FinishReason.STOP))
    assert timer.seconds_per_token == pytest.approx(0.01)


def test_the_wait_for_the_first_token_is_not_counted(clock: Clock) -> None:
    timer = GenerationTimer(1, clock)
    clock.now += 1000
    timer.output_came(tokens(1))
    assert timer.seconds_per_token is None


def test_choices_are_generated_side_by_side(clock: Clock) -> None:
    timer = GenerationTimer(4, clock)
    timer.output_came(tokens(4))
    clock.now += 1
    timer.output_came([Delta(index, ids=range(25)) for index in range(4)])
    assert timer.seconds_per_token == pytest.approx(0.04)
