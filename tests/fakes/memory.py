"""An embedder without a model, a memory to ask, and the sentences on which memory is measured."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from zlib import crc32

import numpy as np

from services.memory.keeper import Bounds, Keeper
from services.memory.ports import Embedder, FactStore, Vectors
from services.memory.shelf import Shelf

BOUNDS = Bounds(
    fact_chars=200,
    facts=1_000,
    query_chars=400,
    found_chars=1_200,
    preference_chars=1_200,
    relevance=0.2,
    share_of_best=0.5,
)
_CASES = Path(__file__).parents[1] / "unit" / "memory" / "cases"
_SIZE = 64


class WordEmbedder:
    """Texts are as near as they share words; counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return self.embed_now(texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        return np.stack([_unit(text) for text in texts])


def _unit(text: str) -> Vectors:
    words = re.findall(r"\w+", text.lower()) or ["-"]
    seeds = (crc32(word.encode()) for word in words)
    total = sum(np.random.default_rng(seed).standard_normal(_SIZE) for seed in seeds)
    unit: Vectors = np.asarray(total / np.linalg.norm(total), dtype=np.float32)
    return unit


def keeper(
    store: FactStore,
    embedder: Embedder,
    *,
    cached_facts: int = 10_000,
    **bounds: float,
) -> Keeper:
    """With ids that count up and a clock that ticks a second whenever it is looked at."""
    ids, ticks = count(1), count(1_000, 1_000)
    return Keeper(
        store,
        Shelf(store, max_facts=cached_facts),
        embedder,
        bounds=replace(BOUNDS, **bounds),  # type: ignore[arg-type]
        now_ms=lambda: next(ticks),
        make_id=lambda: f"mem_{next(ids)}",
    )


def lines(name: str) -> list[str]:
    """A file of cases without its remarks."""
    written = (_CASES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in written if line and not line.startswith("#")]


def pairs(name: str) -> list[tuple[str, str]]:
    found = (line.partition(" | ") for line in lines(name) if " | " in line)
    return [(left, right) for left, _, right in found]
