"""`python -m services.moderation.training.evaluate TRAIN_FOLDER [OPENAI_JSONL]` measures all this.

The second file is a part of OpenAI's moderation-api-release, its `prompt`s and labels: to measure,
never to train.
"""

import argparse
import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (  # type: ignore[import-not-found]
    average_precision_score,
    precision_recall_curve,
)

from services.moderation.adapters.heads import HeadStage, open_heads
from services.moderation.adapters.ngrams import CLEAR_BELOW, NgramStage, open_ngrams
from services.moderation.adapters.reader import open_reader
from services.moderation.api import CATEGORIES
from services.moderation.cascade import Cascade
from services.moderation.phrasebook import Phrasebook
from services.moderation.policy import BUNDLED, read_policy
from services.moderation.ports import Scores
from services.moderation.training.examples import benign_held_out
from services.moderation.windows import passages

_OPENAI = {
    **{"S": "sexual", "H": "hate", "V": "violence", "HR": "harassment", "SH": "self-harm"},
    **{"S3": "sexual/minors", "H2": "hate/threatening", "V2": "violence/graphic"},
}
# The data set is older than these categories.
_NOT_ASKED = [CATEGORIES.index(category) for category in ("illicit", "illicit/violent")]


class _Measured:
    """The product's stages, and what they cost."""

    def __init__(self, cascade: Cascade, second: HeadStage) -> None:
        self._cascade = cascade
        self._second = second
        self._policy = read_policy(BUNDLED)
        self._first = NgramStage(open_ngrams())

    async def cascade(self, text: str) -> NDArray[np.float32]:
        return _worst(await self._cascade.score(self._windows(text)))

    async def second_alone(self, text: str) -> NDArray[np.float32]:
        return _worst(await self._second.score(self._windows(text)))

    def sent_on(self, text: str) -> bool:
        return bool((self._first.score(self._windows(text)) >= CLEAR_BELOW).any())

    def outcome(self, scores: NDArray[np.float32]) -> tuple[bool, bool]:
        """Whether it is flagged, whether it is blocked, as input."""
        side = self._policy.input
        return bool(side.flagged(scores.tolist())), bool(side.blocking(scores.tolist()))

    def _windows(self, text: str) -> list[str]:
        return passages(text, self._policy.window_size)


async def main() -> None:
    asked = _asked()
    with open_reader() as reader:
        second = HeadStage(reader, open_heads())
        first = NgramStage(open_ngrams())
        cascade = Cascade(first, second, Phrasebook({}), clear_below=CLEAR_BELOW)
        measured = _Measured(cascade, second)
        await _benign(measured, asked.train)
        if asked.openai:
            await _openai(measured, [json.loads(line) for line in asked.openai])


async def _benign(measured: _Measured, folder: Path) -> None:
    by_source = defaultdict[str, list[str]](list)
    for example in benign_held_out(folder):
        by_source[example.source].append(example.text)
    print("benign texts no model saw: number, flagged, blocked, sent on; CPU ms mean, p95")
    for source, texts in by_source.items():
        costs, outcomes = [], []
        for text in texts:
            started = time.process_time()
            scores = await measured.cascade(text)
            costs.append((time.process_time() - started) * 1e3)
            outcomes.append((*measured.outcome(scores), measured.sent_on(text)))
        shares = " ".join(f"{share:.4f}" for share in np.mean(outcomes, axis=0))
        spent = f"{np.mean(costs):.2f} {np.quantile(costs, 0.95):.2f}"
        print(f"{source:20} {len(texts):5} {shares}  {spent}")


async def _openai(measured: _Measured, rows: Sequence[dict[str, Any]]) -> None:
    violating = np.array([any(row.get(key) == 1 for key in _OPENAI) for row in rows])
    for name, score in (("cascade", measured.cascade), ("second stage", measured.second_alone)):
        scores = np.stack([await score(row["prompt"]) for row in rows])
        overall = np.delete(scores, _NOT_ASKED, axis=1).max(axis=1)
        blocked = np.array([measured.outcome(each)[1] for each in scores])
        print(
            f"{name}: AUPRC {average_precision_score(violating, overall):.3f},"
            f" best F1 {_best_f1(violating, overall):.3f},"
            f" blocked {blocked[violating].mean():.3f} of violations,"
            f" {blocked[~violating].mean():.3f} of others"
        )
        print("  " + ", ".join(_per_category(rows, scores)))


def _per_category(rows: Sequence[dict[str, int]], scores: Scores) -> list[str]:
    found = []
    for key, category in _OPENAI.items():
        known = [number for number, row in enumerate(rows) if key in row]
        labels = [rows[number][key] for number in known]
        column = scores[known, CATEGORIES.index(category)]
        found.append(f"{category} {average_precision_score(labels, column):.3f}")
    return found


def _best_f1(labels: NDArray[np.bool_], scores: NDArray[np.float32]) -> float:
    precision, recall, _ = precision_recall_curve(labels, scores)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-9)).max())


def _worst(scores: Scores) -> NDArray[np.float32]:
    highest: NDArray[np.float32] = scores.max(axis=0)
    return highest


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    parser.add_argument("openai", type=argparse.FileType(), nargs="?")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
