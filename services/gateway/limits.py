"""How much each organisation, person and key may ask for: requests, tokens, turns at once."""

import contextvars
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from services.gateway.api import Ask, BudgetSpent, RateLimited, TooManyTurns
from services.gateway.authenticator import Principal
from services.gateway.ports import Bucket, Left, Limiter, Reservation, Verdict
from services.gateway.sizes import items_size
from services.shared.scope import Scope

# About so many bytes are a token.
_BYTES_PER_TOKEN = 4
_WINDOW_SECONDS = 60
# The kinds of limits, as refusals count them from 1.
_AT_ONCE = "turns at once"
_KINDS = ("requests per minute", "tokens per minute", _AT_ONCE, "day", "month")
# Whose the buckets of `Limits.turns` and `Limits.background_turns` are.
_TURNS, _BACKGROUND = "organisation as a whole", "organisation's background"
# What is reserved for a reply whose length nobody has bounded.
_REPLY_TOKENS = 1024


class Of(StrEnum):
    """Of whom the limit is."""

    ORGANISATION = "organisation"
    # Whom the application names; of a personal account, its owner.
    PERSON = "person"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Limit:
    """What each of them may use; 0: as much as they like. All gateways count together."""

    of: Of
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    turns: int = 0
    # By calendar, in UTC.
    tokens_per_day: int = 0
    tokens_per_month: int = 0


@dataclass(slots=True)
class Standing:
    """What is left to the caller of a request, as its answer tells."""

    verdict: Verdict | None = None


# Of the request that is being answered; set where answers have room for it.
_standing: contextvars.ContextVar[Standing | None] = contextvars.ContextVar(
    "standing", default=None
)


@contextmanager
def told_standing() -> Iterator[Standing]:
    standing = Standing()
    token = _standing.set(standing)
    try:
        yield standing
    finally:
        _standing.reset(token)


@dataclass(frozen=True, slots=True)
class Limits:
    """Reserves for a turn when it starts, and counts what it used when it has ended.

    A turn counts when it was reserved, whenever it ends.
    """

    limiter: Limiter
    limits: Sequence[Limit]
    # Seconds since the epoch.
    clock: Callable[[], float] = field(repr=False)
    # How long a turn may take. One that nobody ends counts as under way for so long.
    turn_seconds: float
    # How many turns of an organisation may be under way, whatever `limits` say. Of these, only some
    # may be in the background: nobody waits for them, so that one caller can have started many.
    turns: int
    background_turns: int

    async def reserve(self, principal: Principal, ask: Ask, response_id: str) -> None:
        """Raises `TooManyTurns`, `RateLimited` or `BudgetSpent`, which say when to come again."""
        if ask.background and not self.background_turns:
            raise TooManyTurns("no turn may be in the background", retry_after="1")
        scope = principal.account.scope(ask.safety_identifier)
        wanted = Reservation(
            response_id,
            scope.organisation,
            self._buckets(scope, principal.key_id, background=ask.background),
            tokens=_estimate(ask),
            seconds=self.turn_seconds,
        )
        verdict = await self.limiter.reserve(wanted, self.clock())
        if standing := _standing.get():
            standing.verdict = verdict
        if not verdict.allowed:
            raise _refusal(verdict)

    async def settle(self, response_id: str, scope: Scope, key_id: str, tokens: int) -> None:
        """The turn has ended, and used so many tokens; again, it changes nothing."""
        buckets = self._buckets(scope, key_id, background=True)
        reserved = Reservation(response_id, scope.organisation, buckets, tokens, 0)
        await self.limiter.settle(reserved, self.clock())

    def _buckets(self, scope: Scope, key_id: str, *, background: bool) -> Sequence[Bucket]:
        whose = {
            Of.ORGANISATION: scope.organisation,
            Of.PERSON: scope.person,
            Of.KEY: key_id,
        }
        turns = [Bucket(f"{_TURNS}:{scope.organisation}", turns=self.turns)]
        if background:
            most = self.background_turns
            turns.append(Bucket(f"{_BACKGROUND}:{scope.organisation}", turns=most))
        return turns + [
            Bucket(
                f"{limit.of}:{whose[limit.of]}",
                limit.requests_per_minute,
                limit.tokens_per_minute,
                limit.turns,
                limit.tokens_per_day,
                limit.tokens_per_month,
            )
            for limit in self.limits
            if whose[limit.of]
        ]


def periods(now: float) -> tuple[str, str, float, float]:
    """The day and the month, in UTC, and in how many seconds each of them ends."""
    at = datetime.fromtimestamp(now, UTC)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    day_left = 86_400 - (at - midnight).total_seconds()
    month, year = at.month % 12 + 1, at.year + at.month // 12
    month_left = (midnight.replace(year=year, month=month, day=1) - at).total_seconds()
    return f"{at:%Y-%m-%d}", f"{at:%Y-%m}", day_left, month_left


def _estimate(ask: Ask) -> int:
    """Of prompt and reply; what was said before is counted when the turn has ended."""
    said = items_size(ask.said) + len(ask.instructions)
    reply = (ask.sampling.max_tokens or _REPLY_TOKENS) * ask.sampling.n
    return said // _BYTES_PER_TOKEN + reply


def _refusal(verdict: Verdict) -> TooManyTurns | RateLimited | BudgetSpent:
    seconds = max(0.001, verdict.retry_after)
    details = {
        "retry_after": f"{-(-seconds // 1):.0f}",
        "retry_after_ms": f"{seconds * 1000:.0f}",
    }
    whose = verdict.refused_by
    if verdict.budget:
        said = f"the budget of tokens of the {whose} is spent until the {verdict.budget} ends"
        return BudgetSpent(said, code="insufficient_quota", **details)
    refused = TooManyTurns if verdict.what == _AT_ONCE else RateLimited
    return refused(f"the {whose} has reached its limit of {verdict.what}", **details)


def verdict(
    wanted: Reservation, refused: int, by: int, again: float, stands: Sequence[Any]
) -> Verdict:
    """`refused` is the kind of limit, from 1, and `by` the bucket, from 1; `stands` of each
    bucket: requests and tokens of its window before the turn, and in how many milliseconds all of
    them are out of it.
    """
    counted = 0 if refused else 1
    tokens = wanted.tokens * counted
    requests = [
        Left(each.requests_per_minute, max(0, each.requests_per_minute - used - counted), reset)
        for each, (used, _, reset) in zip(wanted.buckets, _seconds(stands, counted), strict=True)
        if each.requests_per_minute
    ]
    spent = [
        Left(each.tokens_per_minute, max(0, each.tokens_per_minute - used - tokens), reset)
        for each, (_, used, reset) in zip(wanted.buckets, _seconds(stands, counted), strict=True)
        if each.tokens_per_minute
    ]
    kind = _KINDS[refused - 1] if refused else ""
    budget = kind if refused > len(_KINDS) - 2 else ""
    return Verdict(
        not refused,
        min(requests, key=lambda left: left.left, default=None),
        min(spent, key=lambda left: left.left, default=None),
        again,
        "" if budget else kind,
        wanted.buckets[by - 1].name.partition(":")[0] if by else "",
        budget,
    )


def _seconds(stands: Sequence[Any], counted: int) -> list[tuple[int, int, float]]:
    """The window is empty a minute after the turn itself, where it was let in."""
    whole = _WINDOW_SECONDS * 1000 if counted else 0
    return [(used, sum_, max(whole, reset) / 1000) for used, sum_, reset in stands]
