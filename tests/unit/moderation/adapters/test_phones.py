import pytest

from services.moderation.adapters.phones import Validity, is_phone


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        ("+44 20 7946 0958", "", ""),
        ("415-555-2671", "", ""),
        ("655 437 108", "call ", ""),
        ("655 437 108", "", " office"),
        ("030 901820", "", ""),
    ],
)
def test_a_number_is_known_by_its_form_or_by_the_words_around_it(
    number: str, before: str, after: str
) -> None:
    assert is_phone(number, before, after, Validity())


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        ("655 437 108", "", ""),
        ("415-555-2671", "order ", ""),
        ("2024-01-02", "call on ", ""),
        ("3.1415926", "", ""),
        ("123 456", "call ", ""),
        ("+1 2", "", ""),
        ("1234567", "at 10:", ""),
    ],
)
def test_other_numbers_are_none(number: str, before: str, after: str) -> None:
    assert not is_phone(number, before, after, Validity())
