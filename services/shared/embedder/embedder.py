"""all-MiniLM-L6-v2 as int8 ONNX, run on threads of its own, one text at a time."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

DIMENSIONS = 384
_MAX_TOKENS = 256
# Usual text of this length has more than 256 tokens. Without the limit the tokenizer would read a
# whole book only to drop most of it.
_MAX_CHARS = 8_192
# After so many texts of one call, other calls get their turn.
_TEXTS_PER_TURN = 8
_HERE = Path(__file__).parent


class Embedder:
    """Vectors of unit length: the closer two texts are in meaning, the nearer 1 their product.

    Only the first 256 tokens of a text count. Texts are run one by one: in a batch they would share
    the scales of quantisation, so that a text's vector would depend on the others, and on a CPU a
    batch is hardly faster.
    """

    def __init__(
        self, tokenizer: Tokenizer, session: onnxruntime.InferenceSession, pool: ThreadPoolExecutor
    ) -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._pool = pool

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row for each text, worked out off the event loop."""
        loop = asyncio.get_running_loop()
        parts = [
            await loop.run_in_executor(
                self._pool, self.embed_now, texts[start : start + _TEXTS_PER_TURN]
            )
            for start in range(0, len(texts), _TEXTS_PER_TURN)
        ]
        return np.concatenate(parts) if parts else self.embed_now(())

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, on the calling thread; several threads may call at once."""
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._vector(text)
        return vectors

    def _vector(self, text: str) -> Vectors:
        ids = np.array([self._tokenizer.encode(text[:_MAX_CHARS]).ids], dtype=np.int64)
        (vectors,) = self._session.run(
            None, {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        )
        vector: Vectors = vectors[0]
        return vector


@contextmanager
def open_embedder(threads: int = 1) -> Iterator[Embedder]:
    """Loads the bundled model. Up to `threads` texts are embedded at the same time."""
    tokenizer = Tokenizer.from_file(str(_HERE / "tokenizer.json"))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.no_padding()
    with (
        ThreadPoolExecutor(threads, thread_name_prefix="embedder") as pool,
        # Comparing vectors afterwards takes microseconds. Were numpy to use threads for it, these
        # would keep their cores busy for 20 ms after each comparison.
        threadpool_limits(1, user_api="blas"),
    ):
        embedder = Embedder(tokenizer, _session(), pool)
        embedder.embed_now(["The first run sets up what the later ones reuse."])
        yield embedder


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # A second thread makes one text no faster (measured). Several texts run at once instead.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        _HERE / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
