"""A transformer for texts as int8 ONNX, run on threads of its own, one text at a time."""

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

Rows = NDArray[np.float32]

TOKENIZER = Path(__file__).with_name("tokenizer.json")
_MAX_TOKENS = 256
# Usual text of this length has more than 256 tokens. Without the limit the tokenizer would read a
# whole book only to drop most of it.
_MAX_CHARS = 8_192
# After so many texts of one call, other calls get their turn.
_TEXTS_PER_TURN = 8


class TextModel:
    """Gives each text a row of `width` numbers.

    Only the first 256 tokens of a text count. Texts are run one by one: in a batch they would share
    the scales of quantisation, so that a text's row would depend on the others, and on a CPU a
    batch is hardly faster.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        session: onnxruntime.InferenceSession,
        pool: ThreadPoolExecutor,
        width: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._session = session
        self._pool = pool
        self._width = width

    async def run(self, texts: Sequence[str]) -> Rows:
        """A row for each text, worked out off the event loop."""
        loop = asyncio.get_running_loop()
        parts = [
            await loop.run_in_executor(
                self._pool, self.run_now, texts[start : start + _TEXTS_PER_TURN]
            )
            for start in range(0, len(texts), _TEXTS_PER_TURN)
        ]
        return np.concatenate(parts) if parts else self.run_now(())

    def run_now(self, texts: Sequence[str]) -> Rows:
        """As `run`, on the calling thread; several threads may call at once."""
        rows = np.empty((len(texts), self._width), dtype=np.float32)
        for number, text in enumerate(texts):
            rows[number] = self._row(text)
        return rows

    def _row(self, text: str) -> Rows:
        ids = np.array([self._tokenizer.encode(text[:_MAX_CHARS]).ids], dtype=np.int64)
        (rows,) = self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        row: Rows = rows[0]
        return row


@contextmanager
def open_text_model(weights: Path, width: int, threads: int = 1) -> Iterator[TextModel]:
    """Loads an ONNX file. Up to `threads` texts are run at the same time."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.enable_truncation(_MAX_TOKENS)
    tokenizer.no_padding()
    with (
        ThreadPoolExecutor(threads, thread_name_prefix=weights.stem) as pool,
        # Comparing rows afterwards takes microseconds. Were numpy to use threads for it, these
        # would keep their cores busy for 20 ms after each comparison.
        threadpool_limits(1, user_api="blas"),
    ):
        model = TextModel(tokenizer, _session(weights), pool, width)
        model.run_now(["The first run sets up what the later ones reuse."])
        yield model


def _session(weights: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # A second thread makes one text no faster (measured). Several texts run at once instead.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
