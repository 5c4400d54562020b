"""What every moderation does, the core and the client alike."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

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
from tests.fakes.moderation import policy, screener, shown, watched

KEY = "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"


@pytest.fixture(params=["direct", "metered", "over gRPC"])
async def moderation(request: pytest.FixtureRequest) -> AsyncIterator[Moderation]:
    core = screener(policy(max_chars=2_000))
    metered = MeteredModeration(core, CollectorRegistry())
    if request.param != "over gRPC":
        yield core if request.param == "direct" else metered
        return
    async with AsyncExitStack() as stack:
        tracer = Tracer("moderation", otlp_endpoint="", sample_ratio=1)
        boundary = Boundary("moderation", tracer, RpcMetrics(CollectorRegistry()))
        port = await stack.enter_async_context(
            serving([ModerationServer(metered)], "localhost:0", grace=0, interceptors=[boundary])
        )
        yield await stack.enter_async_context(connect_moderation(f"localhost:{port}", timeout=10))


async def test_a_harmless_text_passes_with_all_scores(moderation: Moderation) -> None:
    (verdict,) = await moderation.screen(["good morning"], Direction.INPUT)
    assert verdict.action is Action.PASS
    assert set(verdict.scores) == set(CATEGORIES)
    assert verdict.flagged == ()


async def test_each_text_has_its_verdict_in_order(moderation: Moderation) -> None:
    verdicts = await moderation.screen(
        ["fine", "vile", "rude", f"my key is {KEY}"], Direction.INPUT
    )
    assert [v.action for v in verdicts] == [
        Action.PASS,
        Action.BLOCK,
        Action.PASS,
        Action.REWRITE,
    ]


async def test_no_texts_have_no_verdicts(moderation: Moderation) -> None:
    assert list(await moderation.screen([], Direction.OUTPUT)) == []


async def test_what_blocks_is_named(moderation: Moderation) -> None:
    (verdict,) = await moderation.screen(["so vile and rude"], Direction.INPUT)
    assert (verdict.category, verdict.flagged) == ("violence", ("harassment", "violence"))


async def test_a_secret_is_masked_and_its_place_told_in_characters(moderation: Moderation) -> None:
    (verdict,) = await moderation.screen([f"ключ 🔑 {KEY}, ok"], Direction.INPUT)
    assert verdict.text == "ключ 🔑 [github-pat], ok"
    assert verdict.spans == (Span(7, 7 + len(KEY), "github-pat"),)


async def test_a_text_beyond_the_limit_is_refused(moderation: Moderation) -> None:
    with pytest.raises(TextTooLong) as caught:
        await moderation.screen(["fine", "x" * 2_001], Direction.INPUT)
    assert caught.value.details == {"max_chars": "2000"}


async def test_a_failure_inside_fails_the_call(moderation: Moderation) -> None:
    with pytest.raises(Exception, match=r"internal error|CANARY"):
        await moderation.screen(["broken"], Direction.INPUT)


async def test_a_reply_is_released_and_its_end_flushed(moderation: Moderation) -> None:
    releases = await watched(moderation, "one two three four five six seven eight nine", " ten", "")
    assert releases[0].text == "one two three four five six seven eight "
    assert shown(releases) == "one two three four five six seven eight nine ten"


async def test_a_reply_says_how_much_more_is_worth_asking_about(moderation: Moderation) -> None:
    releases = await watched(moderation, "one two", " three four five six seven eight nine", "")
    assert [release.next_words for release in releases[:2]] == [6, 24]


async def test_a_reply_stops_where_it_is_blocked(moderation: Moderation) -> None:
    releases = await watched(moderation, "a b c d e f g h i ", "vile " * 30, "never read")
    assert [release.blocked_by for release in releases] == ["", "violence"]
    assert releases[1].text == ""


async def test_a_reply_beyond_the_limit_is_refused(moderation: Moderation) -> None:
    with pytest.raises(TextTooLong):
        await watched(moderation, "word " * 300, "word " * 300, "")


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
