"""Whom a limit concerns, what is reserved for a turn, and what a refusal says."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.gateway.api import Ask, BudgetSpent, RateLimited, TooManyTurns
from services.gateway.http.rates import rate_headers
from services.gateway.limits import Limit, Limits, Of, periods, told_standing
from services.inference.api import Sampling
from services.shared.conversation import Role, said
from tests.fakes.gateways import ADA
from tests.fakes.mesh import PERSON, limits_of

NOON = 1_795_953_600.0
ASK = Ask("demo", (said("msg_1", Role.USER, "x" * 400),), sampling=Sampling(max_tokens=50))


def limits(*each: Limit) -> Limits:
    return limits_of(*each, clock=lambda: NOON)


async def test_a_key_has_its_own_limit_and_the_organisation_one_for_all() -> None:
    here = limits(
        Limit(Of.KEY, requests_per_minute=2), Limit(Of.ORGANISATION, requests_per_minute=3)
    )
    other = replace(ADA, key_id="key2")
    for number in range(2):
        await here.reserve(ADA, ASK, f"resp_{number}")
    with pytest.raises(RateLimited, match="the key has reached its limit of requests per minute"):
        await here.reserve(ADA, ASK, "resp_2")
    await here.reserve(other, ASK, "resp_3")
    with pytest.raises(RateLimited, match="organisation"):
        await here.reserve(other, ASK, "resp_4")


async def test_each_person_of_an_application_is_limited_apart() -> None:
    here = limits(Limit(Of.PERSON, turns=1))
    await here.reserve(ADA, replace(ASK, safety_identifier="ada"), "resp_1")
    await here.reserve(ADA, replace(ASK, safety_identifier="ben"), "resp_2")
    with pytest.raises(TooManyTurns, match="turns at once") as refused:
        await here.reserve(ADA, replace(ASK, safety_identifier="ada"), "resp_3")
    assert refused.value.details == {"retry_after": "1", "retry_after_ms": "1000"}


async def test_prompt_and_capped_reply_are_reserved_and_what_was_used_is_settled() -> None:
    here = limits(Limit(Of.KEY, tokens_per_minute=400))
    with told_standing() as standing:
        await here.reserve(ADA, ASK, "resp_1")
        assert standing.verdict
        assert standing.verdict.tokens
        assert standing.verdict.tokens.left == 400 - 100 - 50
        open_ended = replace(ASK, sampling=Sampling())
        with pytest.raises(RateLimited):
            await here.reserve(ADA, open_ended, "resp_2")
        await here.settle("resp_1", PERSON.scope(""), "key1", 20)
        await here.reserve(ADA, ASK, "resp_3")
        assert standing.verdict.tokens.left == 400 - 20 - 150


async def test_a_budget_that_is_spent_says_until_when() -> None:
    here = limits(Limit(Of.ORGANISATION, tokens_per_day=200))
    await here.reserve(ADA, ASK, "resp_1")
    with pytest.raises(BudgetSpent, match="until the day ends") as refused:
        await here.reserve(ADA, ASK, "resp_2")
    assert refused.value.details["code"] == "insufficient_quota"
    assert refused.value.details["retry_after"] == str(12 * 3600)


async def test_without_limits_of_time_callers_are_told_of_none() -> None:
    here = limits()
    with told_standing() as standing:
        for number in range(50):
            await here.reserve(ADA, ASK, f"resp_{number}")
    assert standing.verdict
    assert rate_headers(standing.verdict) == []


async def test_an_organisations_turns_are_bounded_and_the_others_may_come() -> None:
    here = limits_of(turns=2)
    other = replace(ADA, account=replace(PERSON, id="acct_2"))
    for number in range(2):
        await here.reserve(ADA, ASK, f"resp_{number}")
    with pytest.raises(TooManyTurns, match="organisation") as refused:
        await here.reserve(ADA, ASK, "resp_2")
    assert refused.value.details["retry_after"] == "1"
    await here.reserve(other, ASK, "resp_3")
    await here.settle("resp_0", PERSON.scope(""), "key1", 0)
    await here.reserve(ADA, ASK, "resp_4")


async def test_turns_in_the_background_are_bounded_of_each_organisation() -> None:
    here = limits_of(turns=3, background_turns=1)
    alone = replace(ASK, background=True)
    await here.reserve(ADA, alone, "resp_0")
    with pytest.raises(TooManyTurns, match="background"):
        await here.reserve(ADA, alone, "resp_1")
    await here.reserve(ADA, ASK, "resp_2")
    await here.settle("resp_0", PERSON.scope(""), "key1", 0)
    await here.reserve(ADA, alone, "resp_3")
    # They count as any other.
    await here.reserve(ADA, ASK, "resp_4")
    with pytest.raises(TooManyTurns, match="whole"):
        await here.reserve(ADA, ASK, "resp_5")


async def test_there_may_be_none_in_the_background() -> None:
    here = limits_of(background_turns=0)
    with pytest.raises(TooManyTurns):
        await here.reserve(ADA, replace(ASK, background=True), "resp_0")
    await here.reserve(ADA, ASK, "resp_1")


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        (datetime(2026, 11, 29, 23, 59, tzinfo=UTC), 60, 86_400 + 60),
        (datetime(2026, 12, 31, 12, tzinfo=UTC), 43_200, 43_200),
        (datetime(2028, 2, 1, tzinfo=UTC), 86_400, 29 * 86_400),
    ],
)
def test_days_and_months_end_in_utc(at: datetime, day: float, month: float) -> None:
    name, month_name, day_left, month_left = periods(at.timestamp())
    assert (name, month_name) == (f"{at:%Y-%m-%d}", f"{at:%Y-%m}")
    assert (day_left, month_left) == (day, month)
