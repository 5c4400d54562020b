import pytest

from services.memory.words import folded, plain_words, stems, terms


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("I\u2019m  not\n sure", "I am not sure"),
        ("They won't and can't", "They will not and can not"),
        ("my favorite color", "my favourite colour"),
        ("My dog is named Rex", "My dog is called Rex"),
        ("ﬁsh", "fish"),
        ("my dog's toys", "my dog's toys"),
    ],
)
def test_folds_ways_of_writing_into_one(written: str, plain: str) -> None:
    assert folded(written) == plain


def test_finds_a_text_by_its_own_words_only() -> None:
    assert terms("What is the name of my dog's toys?") == ["name", "dog", "toy"]
    assert terms("Would you tell me what it is?") == []


def test_counts_forms_of_a_word_as_one() -> None:
    assert terms("running children, 2 kids") == terms("runs child, two kid")


def test_keeps_every_word_where_order_and_articles_count() -> None:
    assert stems("I am the dog") == ["i", "am", "the", "dog"]


def test_signs_that_make_another_word_belong_to_it() -> None:
    assert plain_words("C++, C# and C; (100%)") == ["c++", "c#", "and", "c", "100"]
    assert plain_words("\U0001f642!") == ["\U0001f642"]


def test_parts_scripts_without_spaces_into_pairs() -> None:
    assert set(terms("我住在上海")) & set(terms("上海")) == {"上", "海", "上海"}
