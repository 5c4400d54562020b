"""How long the backend has kept somebody waiting."""

import pytest

from services.inference.silence import BackendSilence
from tests.fakes.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def silence(clock: Clock) -> BackendSilence:
    return BackendSilence(clock)


def test_lasts_while_somebody_waits(silence: BackendSilence, clock: Clock) -> None:
    with silence.awaited():
        clock.now += 5
        assert silence.seconds == 5


def test_there_is_none_where_nobody_waits(silence: BackendSilence, clock: Clock) -> None:
    clock.now += 5
    assert silence.seconds == 0
    with silence.awaited():
        assert silence.seconds == 0
        clock.now += 5
    assert silence.seconds == 0


def test_ends_with_a_sign_of_life(silence: BackendSilence, clock: Clock) -> None:
    with silence.awaited():
        clock.now += 5
        silence.broken()
        clock.now += 1
        assert silence.seconds == 1


def test_goes_on_when_others_come_and_leave(silence: BackendSilence, clock: Clock) -> None:
    with silence.awaited():
        clock.now += 5
        with silence.awaited():
            clock.now += 1
        assert silence.seconds == 6


def test_starts_anew_when_all_have_been_busy_elsewhere(
    silence: BackendSilence, clock: Clock
) -> None:
    with silence.awaited():
        clock.now += 5
    clock.now += 100
    with silence.awaited():
        clock.now += 1
        assert silence.seconds == 1


def test_one_that_gives_up_no_longer_waits(silence: BackendSilence, clock: Clock) -> None:
    with pytest.raises(RuntimeError), silence.awaited():
        raise RuntimeError
    clock.now += 5
    assert silence.seconds == 0
