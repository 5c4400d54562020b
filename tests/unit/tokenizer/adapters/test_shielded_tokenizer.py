"""Which added tokens steer a model."""

import json

from tokenizers import AddedToken

from services.tokenizer.adapters.shielded_tokenizer import control_tokens
from tests.fakes.tokenizer import qwen_like


def steering(template: str, *tokens: str) -> set[str]:
    tokenizer = qwen_like().tokenizer
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in tokens])
    controls = control_tokens(json.loads(tokenizer.to_str()), template).values()
    return set(controls) & set(tokens)


def test_tokens_shaped_like_it_steer() -> None:
    assert steering("", "<|fim|>", "<｜x｜>", "[INST]", "[/INST]") == {
        "<|fim|>",
        "<｜x｜>",
        "[INST]",
        "[/INST]",
    }


def test_tokens_that_the_template_writes_steer() -> None:
    assert steering("'<tool_call>' + call", "<tool_call>", "<memory>") == {"<tool_call>"}


def test_words_and_spaces_are_text_wherever_they_are_written() -> None:
    assert steering("user:\n\n  hello", "user", "\n\n", "  ", "hello") == set()


def test_special_tokens_steer() -> None:
    controls = control_tokens(json.loads(qwen_like().tokenizer.to_str()), "")
    assert {"<|im_start|>", "<|im_end|>"} <= set(controls.values())
