"""What every embedder does, also the one that needs no model."""

from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.memory.adapters.metered import MeteredEmbedder
from services.memory.ports import Embedder
from services.shared.embedder import Embedder as ModelEmbedder
from services.shared.embedder import open_embedder
from tests.fakes.memory import WordEmbedder


@pytest.fixture(scope="module")
def model() -> Iterator[ModelEmbedder]:
    with open_embedder() as opened:
        yield opened


@pytest.fixture(params=["model", "metered", "words"])
def embedder(request: pytest.FixtureRequest, model: ModelEmbedder) -> Embedder:
    if request.param == "words":
        return WordEmbedder()
    if request.param == "metered":
        return MeteredEmbedder(model, CollectorRegistry())
    return model


async def test_gives_every_text_a_row_of_unit_length(embedder: Embedder) -> None:
    rows = await embedder.embed(["my dog is called Rex", "tea — 茶 🍵", ""])
    assert rows.dtype == np.float32
    assert rows.shape[0] == 3
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


async def test_the_same_text_has_the_same_row(embedder: Embedder) -> None:
    rows = await embedder.embed(["I live in Oslo", "I like tea"])
    (again,) = await embedder.embed(["I live in Oslo"])
    np.testing.assert_allclose(rows[0], again, atol=1e-4)


async def test_texts_that_share_words_are_nearer(embedder: Embedder) -> None:
    asked, near, far = await embedder.embed(
        ["what is my dog called?", "my dog is called Rex", "I live in Oslo"]
    )
    assert asked @ near > asked @ far
