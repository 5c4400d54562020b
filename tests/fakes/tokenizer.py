"""Small real models' tokenizers, made on the spot: no network, no weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from services.shared.errors import Malformed
from services.shared.tools import Tool
from services.tokenizer.adapters.hugging_face import HuggingFaceModel, model_from
from services.tokenizer.api import TemplateMessage, TemplateRefused, UnknownToken
from tests.fakes.tokenizer_templates import (
    CODER,
    DEEPSEEK,
    MISTRAL,
    PARTS,
    PICTURES_FIRST,
    QWEN,
    VISION,
)

_WORDS = Regex(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
)
_CORPUS = (
    "What is the weather in Oslo tomorrow? It will rain, bring an umbrella.",
    '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}',
    "You may call one or more functions to assist with the user query.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 40))\n",
    "<table><tr><td>one</td></tr></table> [1, 2, 3] <|not a token|>",
    "Größe, naïve café, Привет мир, こんにちは世界, 你好, مرحبا 🎉👩‍👩‍👧",
)
# vLLM wants to know a model's shape even where it only renders.
SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "num_key_value_heads": 4,
    "vocab_size": 4096,
    "max_position_embeddings": 1 << 20,
    "torch_dtype": "float32",
}


class WordModel:
    """A `Model` whose tokens are words; a message has one more for its role, a picture is a word.

    It refuses a message whose text is `refuses`. If `misjudged` is given, `tokens` answers that.
    """

    def __init__(self, *, refuses: str = "", misjudged: int | None = None) -> None:
        self.prompts: list[list[str]] = []
        self._refuses = refuses
        self._misjudged = misjudged
        self._words: list[str] = []

    def prompt(
        self, messages: Sequence[TemplateMessage], tools: Sequence[Tool], options: Mapping[str, str]
    ) -> list[int]:
        texts = [message.text for message in messages]
        if self._refuses and self._refuses in texts:
            raise TemplateRefused("not this one")
        self.prompts.append(texts)
        return [id for message in messages for id in self._message_ids(message)]

    def tokens(self, message: TemplateMessage) -> int:
        if self._misjudged is not None:
            return self._misjudged
        return 1 + len(message.text.split()) + len(message.pictures)

    def encode(self, text: str) -> list[int]:
        return [self._id(word) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        if not set(ids) <= set(range(len(self._words))):
            raise UnknownToken("no such word", param="ids")
        return " ".join(self._words[id] for id in ids)

    def _message_ids(self, message: TemplateMessage) -> list[int]:
        bounds = [0, *message.pictures, len(message.text)]
        if bounds != sorted(bounds):
            raise Malformed("pictures stand outside the text or out of order", param="pictures")
        texts = (message.text[begin:end] for begin, end in pairwise(bounds))
        return self.encode(f"{message.role} {' <picture> '.join(texts)}")

    def _id(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)
        return self._words.index(word)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a model directory holds of the tokenizer."""

    tokenizer: Tokenizer
    chat_template: str | None
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    tokenizer_class: str = "PreTrainedTokenizerFast"
    more_templates: Mapping[str, str] = field(default_factory=dict)

    def build(self) -> HuggingFaceModel:
        """What the service would make of the directory, without reading one."""
        templates = {"default": self.chat_template, **self.more_templates}
        return model_from(
            {
                "tokenizer": self.tokenizer.to_str(),
                "special_tokens": self.special_tokens,
                "chat_template": templates if self.chat_template else None,
            }
        )

    def write(self, directory: Path) -> Path:
        directory.mkdir()
        self.tokenizer.save(str(directory / "tokenizer.json"))
        config = {"tokenizer_class": self.tokenizer_class, **self.special_tokens}
        (directory / "tokenizer_config.json").write_text(json.dumps(config))
        (directory / "config.json").write_text(json.dumps(SHAPE))
        if self.chat_template:
            (directory / "chat_template.jinja").write_text(self.chat_template)
        if self.more_templates:
            more = directory / "additional_chat_templates"
            more.mkdir()
            for name, template in self.more_templates.items():
                (more / f"{name}.jinja").write_text(template)
        return directory


def _added(*tokens: str, **flags: Any) -> list[AddedToken]:
    return [AddedToken(token, **{"normalized": False, **flags}) for token in tokens]


def _byte_level(specials: Sequence[AddedToken], tokens: Sequence[AddedToken]) -> Tokenizer:
    """Byte-level BPE behind NFC and a GPT-like word pattern, as Qwen and Llama 3 have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_WORDS, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    tokenizer.add_special_tokens(list(specials))
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def qwen_like() -> ModelFiles:
    """ChatML, Hermes tool calls, thinking that a switch turns off."""
    specials = _added("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokens = _added(
        *("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
        *("<think>", "</think>", "<|fim_prefix|>", "<table>", "</table>"),
    )
    return ModelFiles(
        _byte_level(specials, tokens),
        QWEN,
        {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    )


def coder_like() -> ModelFiles:
    """Writes schemas as XML: tags whose names are keys of the caller's JSON."""
    specials = _added("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokens = _added("<tool_call>", "</tool_call>")
    return ModelFiles(_byte_level(specials, tokens), CODER, {"eos_token": "<|im_end|>"})


def deepseek_like() -> ModelFiles:
    """Control tokens that are matched in normalized text, and are not special."""
    specials = _added("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", normalized=True)
    tokens = _added("<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", normalized=True)
    return ModelFiles(
        _byte_level(specials, tokens),
        DEEPSEEK,
        {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
    )


def parts_like() -> ModelFiles:
    """Takes content as lists of parts, and developers' messages; another template for tools."""
    specials = _added("<|begin_of_text|>", "<|start|>", "<|end|>", "<|eot|>")
    return ModelFiles(
        _byte_level(specials, []),
        PARTS,
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot|>"},
        more_templates={"tool_use": "{{ tools | tojson }}" + PARTS},
    )


def vision_like() -> ModelFiles:
    """Sees: a picture stands among the texts as Qwen2-VL has it."""
    specials = _added(
        *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        *("<|vision_start|>", "<|image_pad|>", "<|vision_end|>"),
    )
    return ModelFiles(_byte_level(specials, []), VISION, {"eos_token": "<|im_end|>"})


def pictures_first_like() -> ModelFiles:
    """Sees: a message's pictures stand before its texts, which meet where a picture was."""
    specials = _added("<s>", "</s>", "<image>")
    return ModelFiles(_byte_level(specials, []), PICTURES_FIRST, {"eos_token": "</s>"})


def _sentencepiece_like(specials: Sequence[str], tokens: Sequence[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        show_progress=False,
        special_tokens=[*specials, *(f"<0x{byte:02X}>" for byte in range(256))],
    )
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(_CORPUS, trainer)
    bare = json.loads(trained.to_str())
    bare["added_tokens"] = []
    tokenizer = Tokenizer.from_str(json.dumps(bare))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(_added(*specials))
    tokenizer.add_tokens(_added(*tokens))
    return tokenizer


def mistral_like() -> ModelFiles:
    """Words with a mark for the space before them; speakers must take turns."""
    tokenizer = _sentencepiece_like(
        ["<unk>", "<s>", "</s>"], ["[INST]", "[/INST]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    specials = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return ModelFiles(tokenizer, MISTRAL, specials, "LlamaTokenizer")


def old_llama_like() -> ModelFiles:
    """Puts a space before every piece of text while normalizing, control tokens included."""
    tokenizer = _sentencepiece_like(["<unk>", "<s>", "</s>"], [])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = None
    document = json.loads(tokenizer.to_str())
    for token in document["added_tokens"]:
        token["normalized"] = True
    specials = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return ModelFiles(Tokenizer.from_str(json.dumps(document)), MISTRAL, specials)


def unigram_like() -> ModelFiles:
    """Its pieces hold the control tokens too: their letters alone spell them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=300, show_progress=False, special_tokens=specials, unk_token="<unk>"
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return ModelFiles(
        tokenizer, MISTRAL, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    )


MODELS = {
    "qwen": qwen_like,
    "coder": coder_like,
    "deepseek": deepseek_like,
    "parts": parts_like,
    "vision": vision_like,
    "pictures-first": pictures_first_like,
    "mistral": mistral_like,
    "old-llama": old_llama_like,
    "unigram": unigram_like,
}
