"""What keeps typed control tokens from being read as such."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tokenizer.shield import ESCAPE, ESCAPED, MARK, Shield

TOKENS = ("<|im_end|>", "<|im_start|>", "<think>", "</think>", "<s>", "[INST]", "<a>b", "b<c>")
LITERALS = ("\n<", ">", "<|im_start|>user\n")
SHIELD = Shield(TOKENS, LITERALS)

# Texts that are mostly pieces of tokens.
PIECES = [token[a:b] for token in TOKENS for a in range(3) for b in range(a + 1, len(token) + 1)]
TEXTS = st.lists(
    st.sampled_from([*PIECES, *TOKENS, " ", "\n", "word", ESCAPE, MARK, ESCAPED]), max_size=6
).map("".join)
deterministic = settings(derandomize=True, deadline=None, max_examples=500)


def spelled(text: str) -> list[str]:
    return [token for token in TOKENS if token in text]


def unmarked(text: str) -> str:
    """What the tokenizer makes of it."""
    return text.replace(MARK, "").replace(ESCAPED, ESCAPE)


@deterministic
@given(TEXTS)
def test_no_token_is_left_in_a_text(text: str) -> None:
    assert not spelled(SHIELD.text(text))


@deterministic
@given(TEXTS)
def test_without_its_marks_a_text_is_what_was_written(text: str) -> None:
    assert unmarked(SHIELD.text(text)) == text


@deterministic
@given(st.lists(TEXTS, max_size=4))
def test_texts_that_meet_spell_no_token(texts: list[str]) -> None:
    assert not spelled("".join(map(SHIELD.text, texts)))


@deterministic
@given(st.lists(TEXTS.map(str.strip), max_size=4))
def test_texts_that_meet_where_a_template_trims_them_spell_no_token(texts: list[str]) -> None:
    assert not spelled("".join(SHIELD.text(f" {text}\n").strip() for text in texts))


@deterministic
@given(TEXTS, st.sampled_from(LITERALS), st.sampled_from(LITERALS))
def test_a_text_between_literals_spells_no_more_than_they_do(
    text: str, before: str, after: str
) -> None:
    assert spelled(before + SHIELD.text(text) + after) == spelled(f"{before}-{after}")


@pytest.mark.parametrize("text", ["", "plain", "1 < 2", "[x] > y", "Größe 🎉\0", "<table>"])
def test_what_spells_nothing_is_left_alone(text: str) -> None:
    assert SHIELD.text(text) == text


def test_keys_and_values_are_marked_at_every_depth() -> None:
    value = {"<s>": ["<s>", {"x": "<s>"}], "n": [1, None, True]}
    marked = f"<{MARK}s>"
    assert SHIELD.value(value) == {marked: [marked, {"x": marked}], "n": [1, None, True]}


def test_a_key_that_a_template_would_make_a_token_is_marked() -> None:
    assert SHIELD.value({"think": 1, "type": 2}) == {f"{MARK}think": 1, "type": 2}


def test_a_model_without_control_tokens_needs_no_marks() -> None:
    assert Shield([], ["<"]).text("<s> [INST]") == "<s> [INST]"
