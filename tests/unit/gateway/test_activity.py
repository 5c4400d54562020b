from services.gateway.activity import Activity, Rate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_of_the_last_ten_seconds() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.per_second == 0
    rate.add(50)
    clock.now += 5
    rate.add(100)
    assert rate.per_second == 15
    clock.now += 6
    assert rate.per_second == 10
    clock.now += 5
    assert rate.per_second == 0


def test_tools_count_while_they_run() -> None:
    activity = Activity()
    with activity.tool(), activity.tool():
        assert activity.tools_running == 2
    assert activity.tools_running == 0
