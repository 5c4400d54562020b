import pytest

from services.moderation.windows import WindowSize, count_words, last_gap, last_words, windows

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
