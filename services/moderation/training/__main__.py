"""`python -m services.moderation.training TRAIN_FOLDER` trains the heads and the first stage."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.moderation.adapters import heads as heads_adapter
from services.moderation.adapters import ngrams as ngrams_adapter
from services.moderation.api import CATEGORIES
from services.moderation.training import heads
from services.moderation.training.examples import (
    LEARNT,
    Example,
    benign_held_out,
    own_passages,
    policy_phrases,
    public_examples,
    unlabelled_texts,
)
from services.moderation.training.ngrams import Weights, train_ngrams
from services.moderation.training.vectors import Vectors, windows_by_text, windows_of

_WEIGHTS = {"own passages": 1.0, "policy phrases": 1.0, "Self-Instruct": 0.5}
_OTHER_WEIGHT = 0.3
# The share that may reach 0.5 in any one category: of requests that no model saw, of tasks with
# their answers, of passages written to look like violations and be none.
_OF_REQUESTS, _OF_TASKS, _OF_TWINS = 0.001, 0.005, 0.03
_HOLD_OUT_EVERY = 8
_MINORS = CATEGORIES.index("sexual/minors")


def main() -> None:
    asked = _asked()
    vectors = Vectors(asked.cache)
    examples = [*own_passages(), *policy_phrases(), *public_examples(asked.train)]
    requests = windows_of([example.text for example in benign_held_out(asked.train)])
    train_second_stage(examples, requests, vectors, asked.out / heads_adapter.WEIGHTS.name)
    texts = [*requests, *windows_of([example.text for example in examples])]
    texts += windows_of(list(unlabelled_texts(asked.train)))
    train_first_stage(list(dict.fromkeys(texts)), vectors, asked.out)


def train_second_stage(
    examples: Sequence[Example], requests: Sequence[str], vectors: Vectors, path: Path
) -> None:
    rows, unseen = _rows(examples, vectors), vectors.of(requests)
    sources = np.array([e.source if e.benign else "" for e in _per_window(examples)])
    everything = np.ones(len(rows.vectors), bool)
    machines, calibrations = {}, {}
    for category in LEARNT:
        machines[category] = heads.machine(rows, category, everything)
        margins = heads.margins_out_of_fold(rows, category)
        benign = (
            (machines[category].decision_function(unseen), _OF_REQUESTS),
            (margins[sources == "Self-Instruct"], _OF_TASKS),
            (margins[sources == "own passages"], _OF_TWINS),
        )
        labels = rows.labels[category]
        calibrations[category] = heads.calibrate(margins, labels, rows.weights, benign)
        _print_recall(category, heads.scores(margins, calibrations[category]), labels, sources)
    _write_heads(path, heads.merged(rows, machines, calibrations))


def _print_recall(
    category: str,
    scores: NDArray[np.float64],
    labels: NDArray[np.float64],
    sources: NDArray[np.str_],
) -> None:
    """What examples get from a machine that saw nothing of their kind."""
    shares = [
        f"{(scores[rows] >= at).mean():.3f}"
        for rows in (labels == 1, sources == "own passages")
        for at in (0.5, 0.8)
    ]
    print(f"{category:24} violations {' '.join(shares[:2])}  benign twins {' '.join(shares[2:])}")


def _write_heads(path: Path, stored: dict[str, NDArray[np.float32]]) -> None:
    """Passages as bytes; a column whose score is 0 for the category that is composed."""
    scale = np.float32(np.abs(stored["passages"]).max() / 127)
    np.savez_compressed(
        path,
        passages=np.round(stored["passages"] / scale).astype(np.int8),
        scale=scale,
        weights=np.insert(stored["weights"], _MINORS, 0, axis=1).astype(np.float16),
        bias=np.insert(stored["bias"], _MINORS, -30).astype(np.float32),
        gamma=np.float32(heads.GAMMA),
    )


def train_first_stage(texts: Sequence[str], vectors: Vectors, folder: Path) -> None:
    """Learns what the second stage says of every window there is, labelled or not."""
    second = heads_adapter.open_heads(folder / heads_adapter.WEIGHTS.name)
    margins = second.margins(vectors.of(texts))
    taught = np.delete(heads_adapter.as_scores(margins), _MINORS, axis=1)
    held_out = np.arange(len(texts)) % _HOLD_OUT_EVERY == 0
    weights = train_ngrams(texts, taught, held_out)
    _write_ngrams(folder / ngrams_adapter.WEIGHTS.name, weights)


def _write_ngrams(path: Path, weights: Weights) -> None:
    """With a column whose score is 0 for the category that is composed."""
    np.savez_compressed(
        path,
        table=np.insert(weights.table, _MINORS, 0, axis=1),
        scale=np.insert(weights.scale, _MINORS, 0),
        bias=np.insert(weights.bias, _MINORS, -30),
    )


def _rows(examples: Sequence[Example], vectors: Vectors) -> heads.Rows:
    per_window = _per_window(examples)
    return heads.Rows(
        vectors=vectors.of(windows_of([example.text for example in examples])),
        labels={
            category: np.array([e.labels.get(category, np.nan) for e in per_window], float)
            for category in LEARNT
        },
        weights=np.array([_WEIGHTS.get(e.source, _OTHER_WEIGHT) for e in per_window]),
        groups=[example.group for example in per_window],
    )


def _per_window(examples: Sequence[Example]) -> list[Example]:
    by_text = windows_by_text([example.text for example in examples])
    return [example for example, cut in zip(examples, by_text, strict=True) for _ in cut]


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path, help="the folder of the public sets in README.md")
    parser.add_argument("--out", type=Path, default=heads_adapter.WEIGHTS.parent)
    parser.add_argument("--cache", type=Path, help="an .npz that keeps vectors between runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
