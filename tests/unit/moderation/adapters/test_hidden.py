import pytest

from services.moderation.adapters.hidden import HiddenFinder

HIDDEN = HiddenFinder()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a\U000e0041\U000e0042b", "hidden-tags"),
        ("safe\u202etxt.exe", "hidden-direction"),
        ("x\U000e0101\U000e0102\U000e0103", "hidden-selectors"),
        ("x\u200b\u200c\u200b\u200cy", "hidden-zero-width"),
    ],
)
def test_finds_writing_that_does_not_show(text: str, rule: str) -> None:
    assert [span.rule for span in HIDDEN.find(text)] == [rule]


@pytest.mark.parametrize(
    "text",
    [
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "👨\u200d👩\u200d👧 ❤\ufe0f",
        "می\u200cخواهم",
        "葛\U000e0100",
        "word\u200bword",
        "plain",
    ],
)
def test_leaves_flags_families_and_joined_letters(text: str) -> None:
    assert HIDDEN.find(text) == []


def test_a_row_that_may_go_on_is_open() -> None:
    assert HIDDEN.settled("ab\u200b\u200b") == 2
    assert HIDDEN.settled("ab") == 2
