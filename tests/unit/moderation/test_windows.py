import pytest

from services.moderation.windows import (
    WindowSize,
    count_words,
    last_gap,
    last_words,
    passages,
    windows,
)

SIZE = WindowSize(words=40, overlap=10)


def numbered(count: int) -> str:
    return " ".join(f"w{number}" for number in range(count))


def test_a_short_text_is_one_window() -> None:
    assert windows(numbered(40), SIZE) == [numbered(40)]


def test_an_empty_text_is_one_window() -> None:
    assert windows("", SIZE) == [""]


def test_a_window_begins_with_the_last_words_of_the_one_before() -> None:
    first, second, third = (window.split() for window in windows(numbered(95), SIZE))
    assert first[-10:] == second[:10]
    assert second[-10:] == third[:10]
    assert third[-1] == "w94"


@pytest.mark.parametrize("count", range(1, 140, 7))
def test_windows_together_hold_every_word(count: int) -> None:
    seen = {word for window in windows(numbered(count), SIZE) for word in window.split()}
    assert seen == set(numbered(count).split())


def test_no_window_is_longer_than_asked() -> None:
    assert max(count_words(window) for window in windows(numbered(500), SIZE)) == 40


def test_scripts_without_spaces_have_words() -> None:
    assert count_words("你好，请帮我翻译") == 8
    assert count_words("今日の天気") == 5
    assert 3 <= count_words("สวัสดีครับวันนี้") <= 8
    assert len(windows("好" * 400, SIZE)) > 10


def test_a_run_without_spaces_counts_for_its_length() -> None:
    assert count_words("x" * 1_200) == 100


def test_the_last_words_go_to_the_end_of_the_text() -> None:
    assert last_words("one two three four ", 2) == "three four "
    assert last_words("one", 5) == "one"
    assert last_words("one two", 0) == ""


def test_the_last_gap_is_before_the_word_that_may_go_on() -> None:
    assert last_gap("hello wor") == 6
    assert last_gap("hello ") == 6
    assert last_gap("hello") == 0
    assert last_gap("密钥是sk-12") == 3


def test_a_sentence_is_also_looked_at_by_itself() -> None:
    assert passages("Buy milk. Then I will come for you! Call me", SIZE) == [
        "Buy milk. Then I will come for you! Call me",
        "Buy milk.",
        "Then I will come for you!",
        "Call me",
    ]


def test_what_is_the_same_is_looked_at_once() -> None:
    looked_at = passages("I know where you live. " + "Write a poem. " * 500, SIZE)
    assert looked_at.count("Write a poem.") == 1
    assert "I know where you live." in looked_at
    assert len(looked_at) < 20


def test_one_sentence_is_one_passage() -> None:
    assert passages("Version 3.5 is e.g. here. ", WindowSize(40, 10))[0] == (
        "Version 3.5 is e.g. here."
    )
    assert passages(" only this ", SIZE) == ["only this"]
    assert passages("", SIZE) == [""]


def test_a_long_sentence_is_cut_from_its_own_beginning() -> None:
    text = f"{numbered(25)}. {numbered(60)}"
    assert " ".join(f"w{number}" for number in range(40)) in passages(text, SIZE)


def test_sentences_of_scripts_without_spaces_are_looked_at() -> None:
    assert "请帮我翻译！" in passages("你好。请帮我翻译！好", SIZE)
    assert "second line" in passages("the first\nsecond line\n\nthird one", SIZE)


def test_a_few_words_are_looked_at_almost_alone_where_there_are_no_full_stops() -> None:
    text = numbered(100)
    short = [passage for passage in passages(text, SIZE) if count_words(passage) <= 12]
    for begin in range(94):
        few = " ".join(f"w{number}" for number in range(begin, begin + 6))
        assert any(f" {few} " in f" {passage} " for passage in short)


def test_a_short_sentence_is_not_cut_further() -> None:
    assert passages(f"{numbered(20)}. {numbered(20)}!", SIZE) == [
        f"{numbered(20)}. {numbered(20)}!",
        f"{numbered(20)}.",
        f"{numbered(20)}!",
    ]


@pytest.mark.parametrize("unit", [".", ". ", ".'", "a. ", "\n ", "。", "?!", ".''' "])
def test_as_many_words_are_looked_at_as_the_text_has_times_five(unit: str) -> None:
    """Each word is in two windows at most, in two of its sentence, and in two short ones."""
    text = numbered(300) + unit * 1_000 + numbered(300)
    assert sum(map(count_words, passages(text, SIZE))) <= 5 * count_words(text) + 5
