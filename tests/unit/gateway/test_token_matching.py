"""Tokens are given away with the text that they spell."""

from services.gateway.token_matching import TokenMatcher
from services.inference.api import TokenLogprob


def tokens(*texts: str) -> list[TokenLogprob]:
    return [TokenLogprob(number, text, -0.1) for number, text in enumerate(texts)]


def matcher(*texts: str) -> TokenMatcher:
    made = TokenMatcher()
    made.heard(tokens(*texts))
    return made


def spelled(found: tuple[TokenLogprob, ...]) -> list[str]:
    return [each.token for each in found]


def test_a_token_leaves_when_all_of_its_text_is_shown() -> None:
    made = matcher("one", " two", " three")
    assert spelled(made.shown("one tw")) == ["one"]
    assert spelled(made.shown("o")) == [" two"]
    assert spelled(made.shown(" th")) == []


def test_tokens_without_text_belong_to_the_character_that_they_begin() -> None:
    made = matcher("a", "", "", "é", "", "")
    assert spelled(made.shown("a")) == ["a"]
    assert spelled(made.shown("é")) == ["", "", "é"]
    made.seek()
    made.heard(tokens("ü", "<|im_end|>"))
    assert spelled(made.shown("ü")) == ["", "", "ü"]


def test_markup_before_a_text_is_passed_over() -> None:
    made = matcher("<think>", "hm", "</think>", "\n\n", "hm", "<|im_end|>")
    assert spelled(made.shown("hm")) == ["hm"]
    made.seek()
    assert made.shown("hm")[0].id == 4
    assert made.shown("") == ()


def test_what_was_rewritten_has_none_until_another_text_begins() -> None:
    made = matcher("a", " secret", " b", "</think>", "c")
    assert spelled(made.shown("a")) == ["a"]
    made.lose()
    assert made.shown(" [masked] b") == ()
    made.seek()
    assert spelled(made.shown("c")) == ["c"]


def test_a_text_that_the_tokens_do_not_say_has_none() -> None:
    made = matcher("a", " b", " c")
    assert spelled(made.shown("a")) == ["a"]
    assert made.shown(" [x]") == ()
    assert made.shown(" c") == ()
    made.seek()
    assert made.shown("other") == ()


def test_a_text_begins_with_a_token() -> None:
    assert spelled(matcher("nob", "ob", "b").shown("b")) == ["b"]
    assert matcher("nob").shown("ob") == ()


def test_a_blank_that_is_left_out_of_single_tokens_is_put_back() -> None:
    made = matcher("</think>", "one", "two", ".", "\n", "   ", " x")
    assert spelled(made.shown("one t")) == ["one"]
    assert spelled(made.shown("wo .")) == [" two", " ."]
    assert spelled(made.shown("\n    x")) == ["\n", "   ", " x"]
