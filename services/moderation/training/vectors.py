"""Windows and their vectors, as the service makes them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.moderation.policy import BUNDLED, read_policy
from services.moderation.windows import windows
from services.shared.embedder import open_embedder


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
        with open_embedder() as embedder:
            for key, text in new.items():
                self._known[key] = embedder.embed_now([text])[0].astype(np.float16)
        if new and self._path:
            stored = np.array([list(key) for key in self._known], np.uint8)
            np.savez(self._path, keys=stored, vectors=np.stack(list(self._known.values())))
        return np.stack([self._known[key] for key in keys]).astype(np.float32)


def windows_of(texts: Sequence[str]) -> list[str]:
    window_size = read_policy(BUNDLED).window_size
    return [window for text in texts for window in windows(text, window_size)]
