from collections.abc import Sequence

from services.moderation.api import Span
from services.moderation.cache import CachedReader
from services.moderation.ports import Reading


class Lengths:
    """A reading says how long its text is; remembers what was read."""

    def __init__(self) -> None:
        self.read_texts: list[str] = []

    async def read(self, texts: Sequence[str]) -> Sequence[Reading]:
        self.read_texts += texts
        return [Reading((float(len(text)),), (Span(0, 1, "x"),) * len(text)) for text in texts]


async def test_a_text_that_comes_again_is_not_read_again() -> None:
    lengths = Lengths()
    reader = CachedReader(lengths, texts=10)
    await reader.read(["a", "bb"])
    readings = await reader.read(["bb", "ccc", "a"])
    assert [reading.scores for reading in readings] == [(2.0,), (3.0,), (1.0,)]
    assert lengths.read_texts == ["a", "bb", "ccc"]


async def test_the_same_text_twice_in_a_call_is_read_once() -> None:
    lengths = Lengths()
    assert len(await CachedReader(lengths, texts=10).read(["a", "a"])) == 2
    assert lengths.read_texts == ["a"]


async def test_what_came_longest_ago_is_forgotten() -> None:
    lengths = Lengths()
    reader = CachedReader(lengths, texts=2)
    for text in ("a", "bb", "ccc", "a"):
        await reader.read([text])
    assert lengths.read_texts == ["a", "bb", "ccc", "a"]


async def test_a_text_full_of_finds_is_read_anew() -> None:
    lengths = Lengths()
    reader = CachedReader(lengths, texts=10)
    await reader.read(["x" * 100])
    await reader.read(["x" * 100])
    assert len(lengths.read_texts) == 2


async def test_no_text_is_kept() -> None:
    reader = CachedReader(Lengths(), texts=10)
    await reader.read(["CANARY"])
    assert "CANARY" not in repr(vars(reader)["_readings"])
