"""Windows and their vectors, as the service makes them."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.moderation.policy import BUNDLED, read_policy
from services.moderation.windows import windows
from services.shared.embedder import open_embedder

_THREADS = 2


class Vectors:
    """Embeds, and remembers in a file what it embedded."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[bytes, NDArray[np.float16]] = {}
        if path and path.exists():
            with np.load(path) as stored:
                self._known = dict(zip(map(bytes, stored["keys"]), stored["vectors"], strict=True))

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        with open_embedder(_THREADS) as embedder, ThreadPoolExecutor(_THREADS) as pool:
            embedded = pool.map(lambda text: embedder.embed_now([text])[0], new.values())
            for key, vector in zip(new, embedded, strict=True):
                self._known[key] = vector.astype(np.float16)
        if new and self._path:
            stored = np.array([list(key) for key in self._known], np.uint8)
            np.savez(self._path, keys=stored, vectors=np.stack(list(self._known.values())))
        return np.stack([self._known[key] for key in keys]).astype(np.float32)


def windows_of(texts: Sequence[str]) -> list[str]:
    return [window for of_text in windows_by_text(texts) for window in of_text]


def windows_by_text(texts: Sequence[str]) -> list[list[str]]:
    window_size = read_policy(BUNDLED).window_size
    return [windows(text, window_size) for text in texts]
