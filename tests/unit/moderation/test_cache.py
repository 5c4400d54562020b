from collections.abc import Sequence

from services.moderation.api import Span
from services.moderation.cache import CachedInspector
from services.moderation.ports import Inspection


class Lengths:
    """A inspection says how long its text is; remembers what was read."""

    def __init__(self) -> None:
        self.read_texts: list[str] = []

    async def inspect(self, texts: Sequence[str]) -> Sequence[Inspection]:
        self.read_texts += texts
        return [Inspection((float(len(text)),), (Span(0, 1, "x"),) * len(text)) for text in texts]


async def test_a_text_that_comes_again_is_not_read_again() -> None:
    lengths = Lengths()
    inspector = CachedInspector(lengths, texts=10)
    await inspector.inspect(["a", "bb"])
    inspections = await inspector.inspect(["bb", "ccc", "a"])
    assert [inspection.scores for inspection in inspections] == [(2.0,), (3.0,), (1.0,)]
    assert lengths.read_texts == ["a", "bb", "ccc"]


async def test_the_same_text_twice_in_a_call_is_read_once() -> None:
    lengths = Lengths()
    assert len(await CachedInspector(lengths, texts=10).inspect(["a", "a"])) == 2
    assert lengths.read_texts == ["a"]


async def test_what_came_longest_ago_is_forgotten() -> None:
    lengths = Lengths()
    inspector = CachedInspector(lengths, texts=2)
    for text in ("a", "bb", "ccc", "a"):
        await inspector.inspect([text])
    assert lengths.read_texts == ["a", "bb", "ccc", "a"]


async def test_a_text_full_of_finds_is_read_anew() -> None:
    lengths = Lengths()
    inspector = CachedInspector(lengths, texts=10)
    await inspector.inspect(["x" * 100])
    await inspector.inspect(["x" * 100])
    assert len(lengths.read_texts) == 2


async def test_no_text_is_kept() -> None:
    inspector = CachedInspector(Lengths(), texts=10)
    await inspector.inspect(["CANARY"])
    assert "CANARY" not in repr(vars(inspector)["_inspections"])
