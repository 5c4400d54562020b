import pytest

from services.memory import lexicon

WORDS = {name: words for name, words in vars(lexicon).items() if name.isupper()}


@pytest.mark.parametrize("name", WORDS)
def test_words_are_written_as_statements_are_compared(name: str) -> None:
    assert len(WORDS[name]) >= 7
    for words in WORDS[name]:
        assert words == words.lower() == " ".join(words.split())


def test_only_countries_and_marital_statuses_have_several_words() -> None:
    several = {name for name, words in WORDS.items() if any(" " in each for each in words)}
    assert several == {"COUNTRIES", "MARITAL"}
    assert {"new zealand", "united states", "norway"} <= lexicon.COUNTRIES


@pytest.mark.parametrize(
    ("left", "right"),
    [("MANY", "BEINGS"), ("MANY", "ATTRIBUTES"), ("BEINGS", "ATTRIBUTES"), ("SHORT", "LONG")],
)
def test_no_word_is_in_two_lists_that_exclude_each_other(left: str, right: str) -> None:
    assert not set(WORDS[left]) & set(WORDS[right])
