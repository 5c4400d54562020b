"""Who may wait for the engine, and when the others shall come again."""

from contextlib import ExitStack

import pytest

from services.inference.api import QueueFull
from services.inference.generation_queue import AdmittedGeneration, GenerationQueue, QueueLimits
from tests.fakes.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> GenerationQueue:
    return GenerationQueue(QueueLimits(max_waiting=2, max_waiting_tokens=100), clock)


def enter(
    stack: ExitStack, queue: GenerationQueue, choices: int = 1, tokens: int = 10
) -> AdmittedGeneration:
    return stack.enter_context(queue.admitted(choices, tokens))


def test_counts_a_generation_from_the_queue_to_its_end(queue: GenerationQueue) -> None:
    with queue.admitted(2, 30) as generation:
        assert (queue.waiting, queue.waiting_tokens, queue.running) == (2, 30, 0)
        generation.output_came()
        assert (queue.waiting, queue.waiting_tokens, queue.running) == (0, 0, 2)
        assert not queue.idle
    assert queue.idle


def test_forgets_what_left_before_its_first_token(queue: GenerationQueue) -> None:
    with pytest.raises(RuntimeError), queue.admitted(1, 30):
        raise RuntimeError
    assert queue.idle
    assert queue.waiting_tokens == 0


def test_refuses_beyond_the_bound_of_generations(queue: GenerationQueue) -> None:
    with ExitStack() as stack:
        enter(stack, queue)
        enter(stack, queue)
        with pytest.raises(QueueFull):
            enter(stack, queue)
    enter(ExitStack(), queue)


def test_refuses_beyond_the_bound_of_tokens(queue: GenerationQueue) -> None:
    with ExitStack() as stack:
        enter(stack, queue, tokens=60)
        with pytest.raises(QueueFull):
            enter(stack, queue, tokens=41)
        enter(stack, queue, tokens=40)


def test_lets_a_huge_prompt_in_when_nobody_waits(queue: GenerationQueue) -> None:
    with ExitStack() as stack:
        enter(stack, queue, tokens=1000).output_came()
        enter(stack, queue, tokens=1000)


def refused_for(queue: GenerationQueue) -> int:
    with pytest.raises(QueueFull) as caught, queue.admitted(1, 1000):
        pass
    return int(caught.value.details["retry_after"])


def test_says_to_come_again_when_those_who_wait_will_have_started(
    queue: GenerationQueue, clock: Clock
) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            enter(stack, queue).output_came()
            clock.now += 1
        enter(stack, queue)
        enter(stack, queue)
        # Five started within ten seconds: two will within four.
        assert refused_for(queue) == 4


def test_says_ten_seconds_where_nothing_started_of_late(
    queue: GenerationQueue, clock: Clock
) -> None:
    with ExitStack() as stack:
        enter(stack, queue).output_came()
        clock.now += 100
        enter(stack, queue)
        assert refused_for(queue) == 10
