"""Who may wait for the engine, and how fast it takes them up."""

from contextlib import ExitStack

import pytest

from services.inference.admission import Admission, QueueLimits, Stay
from services.inference.api import QueueFull


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def admission(clock: Clock) -> Admission:
    return Admission(QueueLimits(max_waiting=2, max_waiting_tokens=100), clock)


def enter(stack: ExitStack, admission: Admission, choices: int = 1, tokens: int = 10) -> Stay:
    return stack.enter_context(admission.admitted(choices, tokens))


def test_counts_a_stay_from_the_queue_to_its_end(admission: Admission) -> None:
    with admission.admitted(2, 30) as stay:
        assert (admission.waiting, admission.waiting_tokens, admission.running) == (2, 30, 0)
        stay.grown(1)
        assert (admission.waiting, admission.waiting_tokens, admission.running) == (0, 0, 2)
        assert not admission.idle
    assert admission.idle


def test_forgets_what_left_before_its_first_token(admission: Admission) -> None:
    with pytest.raises(RuntimeError), admission.admitted(1, 30):
        raise RuntimeError
    assert admission.idle
    assert admission.waiting_tokens == 0


def test_refuses_beyond_the_bound_of_generations(admission: Admission) -> None:
    with ExitStack() as stack:
        enter(stack, admission)
        enter(stack, admission)
        with pytest.raises(QueueFull):
            enter(stack, admission)
    enter(ExitStack(), admission)


def test_refuses_beyond_the_bound_of_tokens(admission: Admission) -> None:
    with ExitStack() as stack:
        enter(stack, admission, tokens=60)
        with pytest.raises(QueueFull):
            enter(stack, admission, tokens=41)
        enter(stack, admission, tokens=40)


def test_lets_a_huge_prompt_in_when_nobody_waits(admission: Admission) -> None:
    with ExitStack() as stack:
        enter(stack, admission, tokens=1000).grown(1)
        enter(stack, admission, tokens=1000)


def refused_for(admission: Admission) -> int:
    with pytest.raises(QueueFull) as caught, admission.admitted(1, 1000):
        pass
    return int(caught.value.details["retry_after"])


def test_says_to_come_again_when_those_who_wait_will_have_started(
    admission: Admission, clock: Clock
) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            enter(stack, admission).grown(1)
            clock.now += 1
        enter(stack, admission)
        enter(stack, admission)
        # Five started within ten seconds: two will within four.
        assert refused_for(admission) == 4


def test_says_ten_seconds_where_nothing_started_of_late(admission: Admission, clock: Clock) -> None:
    with ExitStack() as stack:
        enter(stack, admission).grown(1)
        clock.now += 100
        enter(stack, admission)
        assert refused_for(admission) == 10


def run(admission: Admission, clock: Clock, *, seconds_per_token: float) -> None:
    """One generation of eleven tokens."""
    with admission.admitted(1, 1) as stay:
        stay.grown(1)
        clock.now += 10 * seconds_per_token
        stay.grown(10)


@pytest.mark.parametrize(("seconds_per_token", "interval"), [(0.001, 8), (0.01, 2), (0.03, 1)])
def test_few_streams_get_their_tokens_forty_times_a_second(
    admission: Admission, clock: Clock, seconds_per_token: float, interval: int
) -> None:
    run(admission, clock, seconds_per_token=seconds_per_token)
    with ExitStack() as stack:
        for _ in range(8):
            enter(stack, admission).grown(1)
        assert admission.stream_interval() == interval


@pytest.mark.parametrize(("seconds_per_token", "interval"), [(0.001, 8), (0.03, 3), (0.5, 1)])
def test_many_streams_get_their_tokens_ten_times_a_second(
    admission: Admission, clock: Clock, seconds_per_token: float, interval: int
) -> None:
    run(admission, clock, seconds_per_token=seconds_per_token)
    with ExitStack() as stack:
        for _ in range(9):
            enter(stack, admission).grown(1)
        assert admission.stream_interval() == interval


def test_an_engine_whose_pace_is_unknown_sends_every_token(admission: Admission) -> None:
    with ExitStack() as stack:
        for _ in range(9):
            enter(stack, admission).grown(1)
        assert admission.stream_interval() == 1
