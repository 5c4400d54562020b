"""Trains the tokenizer: a word has the same tokens in a request, in a schema and in JSON.

Spaces, digits and signs stand alone and words are merged without the space before them, so that
copying a word means repeating tokens. Byte-level: every text comes back as it was.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import SHORT, Composer
from services.inference.demo_model.generator.lexicon import Lexicon, read_words
from services.inference.demo_model.generator.outside import NOTHING_OUTSIDE
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.rendering import (
    MODEL_FOLDER,
    PAD,
    TURN_END,
    TURN_START,
    ChatTemplate,
)

SPECIAL = (PAD, TURN_START, TURN_END)
TAGS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<memory>",
    "</memory>",
)
# What JSON and the prompt's frame repeat may merge across signs; all else is a word or one sign.
_PIECES = Regex(
    r'\{"name": "|", "arguments": \{"?|"\}\}|\}\}|": "|", "|": |, "'
    r"|\n## |\n- |\n# |, |\. |: |\?: "
    r"|[\p{L}\p{M}]+|."
    r"|\n|\r"
)


def untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECES, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Iterator[str], vocabulary: int) -> Tokenizer:
    tokenizer = untrained()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(TAGS),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=True,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return tokenizer


def texts(words: list[str], conversations: int, seed: int) -> Iterator[str]:
    """Conversations for the frame's words, and the word list itself for everything else."""
    rng = seeded(seed)
    template = ChatTemplate((MODEL_FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))
    lexicon = Lexicon(words, Split.TRAINING)
    composer = Composer(lexicon, Split.TRAINING, NOTHING_OUTSIDE)
    for _ in range(conversations):
        made = composer.compose(rng, SHORT, {})
        yield template.render(made.messages(), made.functions(), add_generation_prompt=False)
    yield from lexicon.common
    yield from lexicon.proper


def write(tokenizer: Tokenizer, folder: Path) -> None:
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TURN_END,
        "pad_token": PAD,
        "model_max_length": 4096,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=Path, required=True, help="a word list, one word a line")
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--conversations", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    made = texts(read_words(options.words), options.conversations, options.seed)
    write(train(made, options.vocabulary), options.out)


if __name__ == "__main__":
    main()
