import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.shared.embedder import DIMENSIONS, Embedder, open_embedder
from tests.fakes.processor import HAS_VNNI

REFERENCE = Path(__file__).with_name("embedder_reference.npz")


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with open_embedder() as opened:
        yield opened


def test_stays_close_to_the_model_before_quantisation(embedder: Embedder) -> None:
    with np.load(REFERENCE) as reference:
        cosines = (embedder.embed_now(reference["texts"].tolist()) * reference["vectors"]).sum(1)
    assert len(cosines) >= 12
    assert np.median(cosines) >= 0.99
    # The worst is a text of one word.
    assert cosines.min() >= 0.97
    assert np.sort(cosines)[1] >= (0.98 if HAS_VNNI else 0.975)


def test_vectors_have_unit_length(embedder: Embedder) -> None:
    vectors = embedder.embed_now(["one", "", "\x00", "三 four " * 2_000])
    assert vectors.shape == (4, DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_what_answers_a_question_is_nearer_than_what_does_not(embedder: Embedder) -> None:
    question, answer, other = embedder.embed_now(
        ["What is my dog called?", "my dog is called Rex", "I take my coffee without sugar"]
    )
    assert question @ answer > question @ other + 0.3


def test_a_text_has_the_same_vector_in_any_company(embedder: Embedder) -> None:
    alone = embedder.embed_now(["my dog is called Rex"])[0]
    together = embedder.embed_now(["a" * 50, "my dog is called Rex", "word " * 200])[1]
    assert np.array_equal(alone, together)


def test_reads_the_first_256_tokens(embedder: Embedder) -> None:
    # 254 words and the two tokens that every text is put between.
    read, longer, shorter = embedder.embed_now(
        ["word " * 254, "word " * 254 + "end", "word " * 253]
    )
    assert np.array_equal(read, longer)
    assert not np.array_equal(read, shorter)


async def test_embeds_any_number_of_texts_in_order(embedder: Embedder) -> None:
    texts = [f"number {n}" for n in range(19)]
    assert np.array_equal(await embedder.embed(texts), embedder.embed_now(texts))
    assert (await embedder.embed([])).shape == (0, DIMENSIONS)


async def test_the_event_loop_goes_on_meanwhile(embedder: Embedder) -> None:
    embedding = asyncio.create_task(embedder.embed(["word " * 200]))
    turns = 0
    while not embedding.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
