import pytest

from services.memory.slots import slotted


@pytest.mark.parametrize(
    ("sentence", "marked", "filled"),
    [
        ("is on 3 may at 10:15", "is on <when> at <time>", ["3 may", "10:15"]),
        ("is on the 12th of june 2026", "is on <when>", ["the 12th of june 2026"]),
        ("is next wednesday", "is <when>", ["next wednesday"]),
        ("wake up at 6 am", "wake up at <time>", ["6 am"]),
        ("starts at 9", "starts at <time>", ["9"]),
        ("costs $1,200.50", "costs <number>", ["$1,200.50"]),
        ("have two kids", "have <number> kids", ["two"]),
        ("have one child", "have <number> child", ["one"]),
        ("have one of them", "have one of them", []),
        ("is 7 years old", "is <number>", ["7"]),
        ("run on mondays", "run on mondays", []),
        ("use python3 and b-12", "use python3 and b-12", []),
    ],
)
def test_marks_numbers_times_and_dates(sentence: str, marked: str, filled: list[str]) -> None:
    assert slotted(sentence) == (marked, filled)


def test_marks_only_the_most_telling_kind_when_asked_to() -> None:
    text, filled = slotted("run 5 km on monday at 7 am", one_kind=True)
    assert (text, filled) == ("run <number> km on monday at 7 am", ["5"])
    assert slotted("train on monday at 7 am", one_kind=True)[1] == ["7 am"]
