"""What callers are told of their limits, and what SDKs do with it."""

import openai
import pytest

from services.gateway.http.rates import duration
from services.gateway.limits import Limit, Limits, Of
from tests.fakes.mesh import limits_of, says
from tests.unit.gateway.http.conftest import OpenSite

NOON = 1_795_953_600.0
ASKED = {"model": "demo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
CHAT = "/v1/chat/completions"


def limited(*limits: Limit) -> Limits:
    return limits_of(*limits, clock=lambda: NOON)


async def test_every_answer_says_what_is_left(site: OpenSite) -> None:
    limits = limited(Limit(Of.KEY, requests_per_minute=5, tokens_per_minute=1000))
    async with site(says("a"), says("b"), limits=limits) as here:
        first = await here.http.post(CHAT, json=ASKED)
        assert first.status_code == 200
        assert first.headers["x-ratelimit-limit-requests"] == "5"
        assert first.headers["x-ratelimit-remaining-requests"] == "4"
        assert first.headers["x-ratelimit-reset-requests"] == "1m0s"
        assert first.headers["x-ratelimit-limit-tokens"] == "1000"
        streamed = await here.http.post(CHAT, json={**ASKED, "stream": True})
        assert streamed.headers["x-ratelimit-remaining-requests"] == "3"
        other = await here.http.get("/v1/models")
        assert "x-ratelimit-limit-requests" not in other.headers


async def test_who_asks_too_much_is_told_when_to_come_again(site: OpenSite) -> None:
    async with site(says("a"), limits=limited(Limit(Of.KEY, requests_per_minute=1))) as here:
        await here.http.post(CHAT, json=ASKED)
        refused = await here.http.post(CHAT, json=ASKED)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.headers["retry-after"] == "60"
        assert refused.headers["retry-after-ms"] == "60000"
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert "x-should-retry" not in refused.headers
        with pytest.raises(openai.RateLimitError):
            async with here.sdk() as sdk:
                await sdk.chat.completions.create(**ASKED)  # type: ignore[call-overload]


async def test_a_spent_budget_is_not_asked_for_again(site: OpenSite) -> None:
    """Until midnight, SDKs would only knock in vain."""
    async with site(limits=limited(Limit(Of.ORGANISATION, tokens_per_day=5))) as here:
        refused = await here.http.post(CHAT, json=ASKED)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert refused.headers["x-should-retry"] == "false"


def test_times_are_written_as_openai_does() -> None:
    assert [duration(each) for each in (0, 0.12, 1, 59.6, 360)] == [
        "0ms",
        "120ms",
        "1s",
        "1m0s",
        "6m0s",
    ]
