"""all-MiniLM-L6-v2: texts as vectors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.shared.embedder.text_model import Rows, TextModel, open_text_model

Vectors = Rows

DIMENSIONS = 384
_WEIGHTS = Path(__file__).with_name("model.onnx")


class Embedder:
    """Vectors of unit length: the closer two texts are in meaning, the nearer 1 their product."""

    def __init__(self, model: TextModel) -> None:
        self._model = model

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A row for each text, worked out off the event loop."""
        return await self._model.run(texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        """As `embed`, on the calling thread; several threads may call at once."""
        return self._model.run_now(texts)


@contextmanager
def open_embedder(threads: int = 1) -> Iterator[Embedder]:
    """Loads the bundled model. Up to `threads` texts are embedded at the same time."""
    with open_text_model(_WEIGHTS, DIMENSIONS, threads) as model:
        yield Embedder(model)
