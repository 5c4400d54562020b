"""A whole model, small enough to be made in a test: a sound tokenizer, and noise for weights."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|im_end|>"
_SPECIAL = ("<|endoftext|>", "<|im_start|>", END)
# Tokens of their own, but text: as Qwen has them.
_MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
_WORDS = "the weather in a city name arguments value of it is sunny and warm today hello answer"
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{# calls are written as <tool_call> with name and arguments #}"
)


def make_tokenizer(directory: Path) -> Path:
    """Writes what a tokenizer is read from."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(_SPECIAL),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_WORDS] * 4, trainer)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in _MARKERS])
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(directory / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": _SPECIAL[0],
        "chat_template": _TEMPLATE,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def make_model(directory: Path, *, weights: bool = False) -> Path:
    """A Llama of a million parameters. Without `weights` there is nothing that could run."""
    tokenizer = Tokenizer.from_file(str(make_tokenizer(directory) / "tokenizer.json"))
    shape = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.token_to_id(END),
        "dtype": "bfloat16",
    }
    (directory / "config.json").write_text(json.dumps(shape))
    if weights:
        _make_weights(directory)
    return directory


def _make_weights(directory: Path) -> None:
    import torch  # noqa: PLC0415 - seconds, and few tests run the model
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.from_pretrained(directory)
    )
    model.to(torch.bfloat16).save_pretrained(directory)
