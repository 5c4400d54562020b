"""A clock that a test moves."""


class Clock:
    """Stands still, and goes on by `tick` whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.tick = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now
