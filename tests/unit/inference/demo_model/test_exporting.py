"""What is exported loads as any Hugging Face model does; so does what is committed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from services.inference.demo_model.exporting import export
from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import SHORT, Composer
from services.inference.demo_model.network import untrained
from services.inference.demo_model.rendering import MODEL_FOLDER, ChatEncoder

MAX_BYTES = 16_000_000


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, encoder: ChatEncoder) -> Path:
    out = tmp_path_factory.mktemp("exported") / "model"
    vocabulary = encoder.tokenizer.get_vocab_size()
    model = untrained(vocabulary, turn_end=encoder.turn_end, pad=encoder.pad, seed=1)
    export(model, MODEL_FOLDER, out)
    return out


@pytest.fixture(params=["exported", "committed"])
def folder(request: pytest.FixtureRequest, exported: Path) -> Path:
    return exported if request.param == "exported" else MODEL_FOLDER


def test_all_files_together_are_small_enough(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MAX_BYTES


def test_weights_are_bfloat16(folder: Path) -> None:
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_transformers_loads_it_unchanged(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model.config.max_position_embeddings == 4096


def test_it_is_greedy_by_default(folder: Path) -> None:
    config = GenerationConfig.from_pretrained(folder)
    assert not config.do_sample
    assert json.loads((folder / "generation_config.json").read_text())["temperature"] == 0


def test_transformers_renders_and_tokenizes_as_training_did(
    folder: Path, composer: Composer, encoder: ChatEncoder
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = seeded("export")
    for _ in range(20):
        talk = composer.compose(rng, SHORT, {})
        messages: Any = talk.messages()
        functions: Any = talk.functions()
        ids = tokenizer.apply_chat_template(messages, tools=functions, return_dict=False)
        assert ids == encoder.encode(talk.messages(), talk.functions()).ids
    assert tokenizer.eos_token == "<|im_end|>"
