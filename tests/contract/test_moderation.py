"""What every moderation does: the core, its client, and the stand-in of the gateway's tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace

import pytest
from prometheus_client import CollectorRegistry

from services.moderation.adapters.metered import MeteredModeration
from services.moderation.api import (
    CATEGORIES,
    Action,
    Direction,
    Grown,
    Moderation,
    Span,
    TextTooLong,
)
from services.moderation.client import connect_moderation
from services.moderation.server import ModerationServer
from services.shared.boundary import Boundary
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tracing import Tracer
from tests.fakes.moderation import WordModeration, policy, screener, shown, watched


@dataclass(frozen=True, slots=True)
class Words:
    """The words by which a moderation judges, and the numbers of its policy."""

    # Blocks as violence.
    blocked: str
    # Masked by `rule`, as `[rule]`.
    secret: str
    rule: str
    max_chars: int
    # How many words the first release waits for, and the second.
    first: int
    second: int

    @property
    def mask(self) -> str:
        return f"[{self.rule}]"


@dataclass(frozen=True, slots=True)
class Subject:
    moderation: Moderation
    words: Words


def real() -> Subject:
    key = "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"
    words = Words("vile", key, "github-pat", max_chars=2_000, first=8, second=24)
    return Subject(screener(policy(max_chars=words.max_chars)), words)


def stand_in() -> Subject:
    words = Words("forbidden", "secret", "masked", max_chars=100_000, first=8, second=8)
    return Subject(WordModeration(words_at_once=8), words)


@dataclass(frozen=True, slots=True)
class Way:
    subject: Callable[[], Subject]
    metered: bool = False
    over_grpc: bool = False


WAYS = {
    "direct": Way(real),
    "metered": Way(real, metered=True),
    "over gRPC": Way(real, metered=True, over_grpc=True),
    "stand-in": Way(stand_in),
    "stand-in over gRPC": Way(stand_in, over_grpc=True),
}


@pytest.fixture(params=WAYS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    way = WAYS[request.param]
    made = way.subject()
    if way.metered:
        metered = MeteredModeration(made.moderation, CollectorRegistry())
        made = replace(made, moderation=metered)
    async with AsyncExitStack() as stack:
        if way.over_grpc:
            made = replace(made, moderation=await _served(made.moderation, stack))
        yield made


async def _served(moderation: Moderation, stack: AsyncExitStack) -> Moderation:
    tracer = Tracer("moderation", otlp_endpoint="", sample_ratio=1)
    boundary = Boundary("moderation", tracer, RpcMetrics(CollectorRegistry()))
    server = ModerationServer(moderation)
    port = await stack.enter_async_context(
        serving([server], "localhost:0", grace=0, interceptors=[boundary])
    )
    return await stack.enter_async_context(connect_moderation(f"localhost:{port}", timeout=10))


@pytest.fixture
def moderation(subject: Subject) -> Moderation:
    return subject.moderation


@pytest.fixture
def words(subject: Subject) -> Words:
    return subject.words


async def test_a_harmless_text_passes_with_all_scores(moderation: Moderation) -> None:
    (verdict,) = await moderation.screen(["good morning"], Direction.INPUT)
    assert verdict.action is Action.PASS
    assert set(verdict.scores) == set(CATEGORIES)
    assert verdict.flagged == ()


async def test_each_text_has_its_verdict_in_order(moderation: Moderation, words: Words) -> None:
    verdicts = await moderation.screen(
        ["fine", words.blocked, "fine too", f"my key is {words.secret}"], Direction.INPUT
    )
    assert [v.action for v in verdicts] == [
        Action.PASS,
        Action.BLOCK,
        Action.PASS,
        Action.REWRITE,
    ]


async def test_an_empty_text_passes(moderation: Moderation) -> None:
    (verdict,) = await moderation.screen([""], Direction.OUTPUT)
    assert (verdict.action, verdict.spans) == (Action.PASS, ())


async def test_no_texts_have_no_verdicts(moderation: Moderation) -> None:
    assert list(await moderation.screen([], Direction.OUTPUT)) == []


@pytest.mark.parametrize("direction", Direction)
async def test_what_blocks_is_named(
    moderation: Moderation, words: Words, direction: Direction
) -> None:
    (verdict,) = await moderation.screen([f"so {words.blocked} and tall"], direction)
    assert (verdict.action, verdict.category) == (Action.BLOCK, "violence")
    assert verdict.flagged == ("violence",)
    assert verdict.scores["violence"] > verdict.scores["hate"]


async def test_a_secret_is_masked_and_its_place_told_in_characters(
    moderation: Moderation, words: Words
) -> None:
    (verdict,) = await moderation.screen([f"ключ 🔑 {words.secret}, ok"], Direction.INPUT)
    assert verdict.text == f"ключ 🔑 {words.mask}, ok"
    assert verdict.spans == (Span(7, 7 + len(words.secret), words.rule),)


async def test_a_text_beyond_the_limit_is_refused(moderation: Moderation, words: Words) -> None:
    with pytest.raises(TextTooLong) as caught:
        await moderation.screen(["fine", "x" * (words.max_chars + 1)], Direction.INPUT)
    assert caught.value.details == {"max_chars": str(words.max_chars)}


async def test_a_failure_inside_fails_the_call(moderation: Moderation) -> None:
    with pytest.raises(Exception, match=r"internal error|CANARY"):
        await moderation.screen(["broken"], Direction.INPUT)


async def test_a_reply_is_released_and_its_end_flushed(moderation: Moderation) -> None:
    releases = await watched(moderation, "one two three four five six seven eight nine", " ten", "")
    assert releases[0].text == "one two three four five six seven eight "
    assert shown(releases) == "one two three four five six seven eight nine ten"


async def test_a_reply_says_how_much_more_is_worth_asking_about(
    moderation: Moderation, words: Words
) -> None:
    releases = await watched(moderation, "one two", " three four five six seven eight nine", "")
    assert [release.next_words for release in releases[:2]] == [words.first - 2, words.second]


async def test_what_was_not_judged_is_held_back(moderation: Moderation, words: Words) -> None:
    """What comes next may still block it."""
    releases = await watched(moderation, "one two three ", f"four {words.blocked} ", "")
    assert shown(releases) == ""
    assert releases[-1].blocked_by == "violence"


@pytest.mark.parametrize("cut", range(1, 6))
async def test_the_beginning_of_a_secret_is_held_back(
    moderation: Moderation, words: Words, cut: int
) -> None:
    before = "one two three four five six seven eight "
    releases = await watched(
        moderation, before + words.secret[:cut], f"{words.secret[cut:]} is it ", "now"
    )
    assert releases[0].text == before
    assert shown(releases) == f"{before}{words.mask} is it now"


@pytest.mark.parametrize("cut", range(1, 4))
async def test_the_beginning_of_a_blocked_word_is_held_back(
    moderation: Moderation, words: Words, cut: int
) -> None:
    before = "one two three four five six seven eight "
    releases = await watched(
        moderation, before + words.blocked[:cut], f"{words.blocked[cut:]} thing", ""
    )
    assert releases[0].text == before
    assert releases[-1].blocked_by == "violence"
    assert shown(releases) == before


async def test_the_beginning_of_a_secret_that_never_comes_is_shown_at_the_end(
    moderation: Moderation, words: Words
) -> None:
    text = f"one two three four five six seven eight {words.secret[:3]}"
    releases = await watched(moderation, text, "")
    assert shown(releases) == text


async def test_a_reply_stops_where_it_is_blocked(moderation: Moderation, words: Words) -> None:
    releases = await watched(
        moderation, "a b c d e f g h i ", f"{words.blocked} " * 30, "never read"
    )
    assert [release.blocked_by for release in releases] == ["", "violence"]
    assert releases[1].text == ""


async def test_a_reply_beyond_the_limit_is_refused(moderation: Moderation, words: Words) -> None:
    half = "word " * (words.max_chars // 10 + 1)
    with pytest.raises(TextTooLong):
        await watched(moderation, half, half, "")


async def test_a_failure_inside_fails_the_watch(moderation: Moderation) -> None:
    with pytest.raises(Exception, match=r"internal error|CANARY"):
        await watched(moderation, "a b c d e f g h i j", "k broken")


async def test_every_growth_is_answered_before_the_next(moderation: Moderation) -> None:
    answered = asyncio.Queue[str]()

    async def reply() -> AsyncIterator[Grown]:
        yield Grown("a b c d e f g h i ", final=False)
        assert await answered.get() == "a b c d e f g h i "
        yield Grown("j", final=True)

    async with aclosing(moderation.watch(reply())) as releases:
        async for release in releases:
            answered.put_nowait(release.text)
    assert await answered.get() == "j"
