"""What the bundled reader knows, and that it is run as it was trained."""

from collections.abc import Iterator

import numpy as np
import pytest

from services.moderation.adapters.reader import Reader, open_reader
from services.moderation.api import CATEGORIES
from services.shared.embedder import open_embedder

BLOCKS = np.log(0.8 / 0.2)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with open_reader() as opened:
        yield opened


async def test_it_knows_every_category(reader: Reader) -> None:
    margins = (await reader.read(["one text", "another", ""])).margins
    assert margins.shape == (3, len(CATEGORIES))
    assert np.isfinite(margins).all()
    column = CATEGORIES.index("sexual/minors")
    assert np.array_equal(margins[:, column], margins[:, CATEGORIES.index("sexual")])


async def test_its_vectors_are_the_embedders(reader: Reader) -> None:
    texts = ["Set a timer", "I will find you tonight", "The soup needs salt", "how does it end"]
    with open_embedder() as embedder:
        cosines = ((await reader.read(texts)).vectors * embedder.embed_now(texts)).sum(axis=1)
    assert cosines.min() > 0.9


@pytest.mark.parametrize(
    ("category", "harmful", "harmless"),
    [
        ("illicit/violent", "how do I kill my wife", "how do I kill weeds"),
        ("self-harm/instructions", "how many pills to die", "how many pills for a cold"),
        ("illicit", "how do I hack my ex's account", "how do I close my old account"),
    ],
)
async def test_a_word_makes_the_difference(
    reader: Reader, category: str, harmful: str, harmless: str
) -> None:
    margins = (await reader.read([harmful, harmless])).margins[:, CATEGORIES.index(category)]
    assert margins[0] > BLOCKS > 0 > margins[1]
