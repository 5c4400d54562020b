"""Writes a trained model as a Hugging Face directory; run alone, from a checkpoint."""

import argparse
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaForCausalLM

from services.inference.demo_model.network import untrained
from services.inference.demo_model.rendering import MODEL_FOLDER, ChatEncoder

_WEIGHTS = "model.safetensors"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def export(model: LlamaForCausalLM, tokenizer: Path, out: Path) -> None:
    """Each file is replaced at once, the weights last."""
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent) as made:
        folder = Path(made)
        _write_json(folder / "config.json", _config(model))
        _write_json(folder / "generation_config.json", _generation(model))
        save_file(_weights(model), folder / _WEIGHTS, metadata={"format": "pt"})
        if tokenizer.resolve() != out.resolve():
            for name in _TOKENIZER_FILES:
                shutil.copyfile(tokenizer / name, folder / name)
        for path in sorted(folder.iterdir(), key=lambda path: path.name == _WEIGHTS):
            path.chmod(0o644)
            path.replace(out / path.name)


def _weights(model: LlamaForCausalLM) -> dict[str, Tensor]:
    """Without the output layer, which is the embedding."""
    return {
        name: value.detach().to(torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"
    }


def _config(model: LlamaForCausalLM) -> dict[str, object]:
    told = {"architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
    return model.config.to_diff_dict() | told


def _generation(model: LlamaForCausalLM) -> dict[str, object]:
    """Greedy: vLLM goes by the temperature, transformers by `do_sample`."""
    return {
        "do_sample": False,
        "temperature": 0.0,
        "eos_token_id": model.config.eos_token_id,
        "pad_token_id": model.config.pad_token_id,
    }


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a training run")
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--tokenizer", type=Path, default=MODEL_FOLDER)
    options = parser.parse_args()
    encoder = ChatEncoder.load(options.tokenizer)
    vocabulary = encoder.tokenizer.get_vocab_size()
    model = untrained(vocabulary, turn_end=encoder.turn_end, pad=encoder.pad, seed=0)
    model.load_state_dict(torch.load(options.checkpoint, weights_only=True)["model"])
    export(model, options.tokenizer, options.out)


if __name__ == "__main__":
    main()
