"""Words have the same tokens everywhere, and every text comes back as it was."""

import pytest
from tokenizers import Tokenizer

from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import SHORT, Composer
from services.inference.demo_model.rendering import ChatEncoder, ChatTemplate
from services.inference.demo_model.tokenizer_training import SPECIAL, TAGS, train


@pytest.fixture(scope="session")
def tokenizer(encoder: ChatEncoder) -> Tokenizer:
    return encoder.tokenizer


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text).ids
    return found


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "two  spaces\tand\n\n\nlines\r\n",
        "日本語 한국어 العربية עברית ไทย हिन्दी",
        "e\u0301 a\u0308 \u200d👩\u200d👩\u200d👧 🇳🇴 🙂",
        "\x00\x01\x7f\u0085\u2028\ufeff\ufffd\U0010ffff",
        '{"a": "b", "c": [1, 2.5e-3, null], "d": "\\"\\\\"}}',
        "snake_case camelCase kebab-case x=1; f(x)[0] # no",
        "don't",
    ],
)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(ids(tokenizer, text), skip_special_tokens=False) == text


@pytest.mark.parametrize("word", ["Paris", "weather", "zyzzogeton", "Ångström", "ORD", "naïve"])
@pytest.mark.parametrize(
    "frame",
    [
        "in {} today",
        '{{"location": "{}"}}',
        '{{"name": "{}", "arguments": {{}}}}',
        "\n## {}: Does it.",
        "\n- {}?: string",
        "({})",
        "get_{}_now",
        "- my dog is called {}\n",
        "{}: 12.3 °C, light rain",
    ],
)
def test_a_word_has_the_same_tokens_wherever_it_stands(
    tokenizer: Tokenizer, word: str, frame: str
) -> None:
    before, after = frame.format("\0").split("\0")
    expected = ids(tokenizer, before) + ids(tokenizer, word) + ids(tokenizer, after)
    assert ids(tokenizer, frame.format(word)) == expected


def test_every_digit_stands_alone(tokenizer: Tokenizer) -> None:
    assert len(ids(tokenizer, "20261122")) == 8


@pytest.mark.parametrize("text", [*SPECIAL, *TAGS])
def test_markers_are_single_tokens(tokenizer: Tokenizer, text: str) -> None:
    assert len(ids(tokenizer, text)) == 1


def test_a_common_call_is_short(tokenizer: Tokenizer) -> None:
    assert len(ids(tokenizer, '{"name": "weather", "arguments": {"location": "Paris"}}')) <= 8


def test_training_again_gives_the_same_tokenizer(
    composer: Composer, template: ChatTemplate
) -> None:
    talks = [composer.compose(seeded(n), SHORT, {}) for n in range(20)]
    texts = [
        template.render(talk.messages(), talk.functions(), add_generation_prompt=False)
        for talk in talks
    ]
    first, second = train(iter(texts), 600), train(iter(texts), 600)
    assert first.to_str() == second.to_str()
    assert first.get_vocab_size() <= 600
