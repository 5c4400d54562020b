"""Limits of one gateway alone."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.limits import periods, verdict
from services.gateway.ports import Bucket, Reservation, Verdict

_WINDOW = 60.0
# From so many buckets on, those that count nothing any more are looked for.
_MANY = 1_000


@dataclass(slots=True)
class _Use:
    """Of one bucket: turns of the last minute with their tokens, turns under way, and budgets."""

    turns: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict)
    tokens: int = 0
    # What each turn under way has reserved, and when it counts no more.
    running: dict[str, tuple[float, int]] = field(default_factory=dict)
    # By day and by month.
    spent: Counter[str] = field(default_factory=Counter)

    def forget(self, now: float) -> None:
        while self.turns:
            turn, (at, tokens) = next(iter(self.turns.items()))
            if at > now - _WINDOW:
                break
            del self.turns[turn]
            self.tokens -= tokens
        for turn in [turn for turn, (ends, _) in self.running.items() if ends <= now]:
            del self.running[turn]
        for period in set(self.spent) - set(periods(now)[:2]):
            del self.spent[period]

    def spend(self, bucket: Bucket, tokens: int, now: float) -> None:
        day, month, _, _ = periods(now)
        if bucket.tokens_per_day:
            self.spent[day] += tokens
        if bucket.tokens_per_month:
            self.spent[month] += tokens

    def refusals(self, bucket: Bucket, tokens: int, now: float) -> Sequence[tuple[int, float]]:
        """The kinds of limits that refuse, from 1, and in how many seconds they do not."""
        day, month, day_left, month_left = periods(now)
        found: list[tuple[int, float]] = []
        most = bucket.requests_per_minute
        if most and len(self.turns) >= most:
            first = [*self.turns.values()][len(self.turns) - most]
            found.append((1, first[0] + _WINDOW - now))
        if bucket.tokens_per_minute and self.tokens + tokens > bucket.tokens_per_minute:
            found.append((2, self._room_in(tokens, bucket.tokens_per_minute, now)))
        if bucket.turns and len(self.running) >= bucket.turns:
            found.append((3, 1.0))
        if bucket.tokens_per_day and self.spent[day] + tokens > bucket.tokens_per_day:
            found.append((4, day_left))
        if bucket.tokens_per_month and self.spent[month] + tokens > bucket.tokens_per_month:
            found.append((5, month_left))
        return found

    def _room_in(self, tokens: int, most: int, now: float) -> float:
        freed, wait = 0, _WINDOW
        for at, had in self.turns.values():
            freed += had
            wait = at + _WINDOW - now
            if self.tokens - freed + tokens <= most:
                break
        return wait


class InMemoryLimiter:
    """`Limiter`."""

    def __init__(self) -> None:
        self._uses: defaultdict[tuple[str, str], _Use] = defaultdict(_Use)
        self._many = _MANY

    @property
    def known(self) -> int:
        """How many buckets it remembers. Callers choose what they call their persons."""
        return len(self._uses)

    async def reserve(self, wanted: Reservation, now: float) -> Verdict:
        self._forget_idle(now)
        uses = [self._use(wanted, bucket, now) for bucket in wanted.buckets]
        stands = [(len(use.turns), use.tokens, _reset_ms(use, now)) for use in uses]
        refusals = [
            (wait, kind, place)
            for place, (use, bucket) in enumerate(zip(uses, wanted.buckets, strict=True), 1)
            for kind, wait in use.refusals(bucket, wanted.tokens, now)
        ]
        if refusals:
            wait, kind, place = max(refusals)
            return verdict(wanted, kind, place, wait, stands)
        for use, bucket in zip(uses, wanted.buckets, strict=True):
            use.turns[wanted.id] = (now, wanted.tokens)
            use.tokens += wanted.tokens
            use.running[wanted.id] = (now + wanted.seconds, wanted.tokens)
            use.spend(bucket, wanted.tokens, now)
        return verdict(wanted, 0, 0, 0, stands)

    async def settle(self, used: Reservation, now: float) -> None:
        for bucket in used.buckets:
            use = self._use(used, bucket, now)
            if used.id not in use.running:
                continue
            _, reserved = use.running.pop(used.id)
            if used.id in use.turns:
                use.turns[used.id] = (use.turns[used.id][0], used.tokens)
                use.tokens += used.tokens - reserved
            use.spend(bucket, used.tokens - reserved, now)

    def _forget_idle(self, now: float) -> None:
        """Looks once there are twice as many as were left the last time."""
        if len(self._uses) < self._many:
            return
        for key, use in [*self._uses.items()]:
            use.forget(now)
            if not (use.turns or use.running or use.spent):
                del self._uses[key]
        self._many = max(_MANY, 2 * len(self._uses))

    def _use(self, wanted: Reservation, bucket: Bucket, now: float) -> _Use:
        use = self._uses[wanted.organisation, bucket.name]
        use.forget(now)
        return use


def _reset_ms(use: _Use, now: float) -> int:
    if not use.turns:
        return 0
    last = next(reversed(use.turns.values()))
    return int((last[0] + _WINDOW - now) * 1000)
