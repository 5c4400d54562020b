"""Limits that all gateways keep together, in Redis: one script for all buckets of a turn.

All keys of an organisation hold its id in braces. Of each bucket there are

- `...:times`: the turns of the last minute, by when they were reserved in milliseconds
- `...:tokens`: what each of them reserved or used, and `sum`
- `...:running`: turns under way, by when they count no more
- `...:reserved`: what each of these has reserved
- `...:<day>` and `...:<month>`: tokens used
"""

from collections.abc import Sequence

from services.gateway.limits import periods, verdict
from services.gateway.ports import Bucket, Reservation, Verdict
from services.shared.redis import RedisStore, Script

# Of each bucket: the keys above, and its limits.
_KEYS, _LIMITS = 6, 5
_WINDOW_MS = 60_000

# ARGV[1] is the time, ARGV[2] the turn's id.
_PRUNE = f"""
local now, id = tonumber(ARGV[1]), ARGV[2]
local function prune(times, tokens, running, reserved)
    -- Times are cut to milliseconds, so that one that looks a minute old may be a little younger.
    local old = redis.call('ZRANGE', times, '-inf', '(' .. now - {_WINDOW_MS}, 'BYSCORE')
    for _, member in ipairs(old) do
        local had = redis.call('HGET', tokens, member) or 0
        redis.call('HINCRBY', tokens, 'sum', -had)
        redis.call('HDEL', tokens, member)
        redis.call('ZREM', times, member)
    end
    for _, member in ipairs(redis.call('ZRANGE', running, '-inf', now, 'BYSCORE')) do
        redis.call('HDEL', reserved, member)
    end
    redis.call('ZREMRANGEBYSCORE', running, '-inf', now)
end
"""

# ARGV: time, id, tokens, when the turn ends at the latest, milliseconds of the day and of the
# month that are left; then five limits of each bucket. Answers the first kind that refuses, its
# bucket and when to come again; then of each bucket: requests, when all are back; tokens, when all.
_RESERVE = f"""
{_PRUNE}
local tokens, ends = tonumber(ARGV[3]), tonumber(ARGV[4])
local left_of = {{tonumber(ARGV[5]), tonumber(ARGV[6])}}
local refused, by, again = 0, 0, 0
local function refuse(kind, bucket, wait)
    if refused == 0 or wait > again then refused, by, again = kind, bucket, wait end
end
local stands = {{}}
for bucket = 1, #KEYS / {_KEYS} do
    local key, limit = (bucket - 1) * {_KEYS}, 6 + (bucket - 1) * {_LIMITS}
    local times, spent, running = KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
    prune(times, spent, running, KEYS[key + 4])
    local requests = redis.call('ZCARD', times)
    local sum = tonumber(redis.call('HGET', spent, 'sum') or 0)
    local most, most_tokens = tonumber(ARGV[limit + 1]), tonumber(ARGV[limit + 2])
    local turns = tonumber(ARGV[limit + 3])
    if most > 0 and requests >= most then
        local first = redis.call('ZRANGE', times, requests - most, requests - most, 'WITHSCORES')
        refuse(1, bucket, first[2] + {_WINDOW_MS} + 1 - now)
    end
    if most_tokens > 0 and sum + tokens > most_tokens then
        local freed, wait = 0, {_WINDOW_MS}
        local from = 0
        while sum - freed + tokens > most_tokens do
            local some = redis.call('ZRANGE', times, from, from + 63, 'WITHSCORES')
            if #some == 0 then break end
            for place = 1, #some, 2 do
                freed = freed + (redis.call('HGET', spent, some[place]) or 0)
                wait = some[place + 1] + {_WINDOW_MS} + 1 - now
                if sum - freed + tokens <= most_tokens then break end
            end
            from = from + 64
        end
        refuse(2, bucket, wait)
    end
    if turns > 0 and redis.call('ZCARD', running) >= turns then refuse(3, bucket, 1000) end
    for period = 1, 2 do
        local budget = tonumber(ARGV[limit + 3 + period])
        local used = tonumber(redis.call('GET', KEYS[key + 4 + period]) or 0)
        if budget > 0 and used + tokens > budget then
            refuse(3 + period, bucket, left_of[period])
        end
    end
    local last = redis.call('ZRANGE', times, -1, -1, 'WITHSCORES')
    local reset = last[2] and last[2] + {_WINDOW_MS} - now or 0
    table.insert(stands, {{requests, sum, reset}})
end
if refused == 0 then
    for bucket = 1, #KEYS / {_KEYS} do
        local key, limit = (bucket - 1) * {_KEYS}, 6 + (bucket - 1) * {_LIMITS}
        redis.call('ZADD', KEYS[key + 1], now, id)
        redis.call('HSET', KEYS[key + 2], id, tokens)
        redis.call('HINCRBY', KEYS[key + 2], 'sum', tokens)
        redis.call('ZADD', KEYS[key + 3], ends, id)
        redis.call('HSET', KEYS[key + 4], id, tokens)
        redis.call('PEXPIRE', KEYS[key + 1], {2 * _WINDOW_MS})
        redis.call('PEXPIRE', KEYS[key + 2], {2 * _WINDOW_MS})
        redis.call('PEXPIRE', KEYS[key + 3], {2 * _WINDOW_MS} + ends - now)
        redis.call('PEXPIRE', KEYS[key + 4], {2 * _WINDOW_MS} + ends - now)
        for period = 1, 2 do
            if tonumber(ARGV[limit + 3 + period]) > 0 then
                redis.call('INCRBY', KEYS[key + 4 + period], tokens)
                redis.call('PEXPIRE', KEYS[key + 4 + period], left_of[period] + {2 * _WINDOW_MS})
            end
        end
    end
end
return {{refused, by, math.ceil(again), stands}}
"""

# ARGV: time, id, tokens; then, of each bucket, whether it has budgets of days and of months.
_SETTLE = f"""
{_PRUNE}
local tokens = tonumber(ARGV[3])
for bucket = 1, #KEYS / {_KEYS} do
    local key = (bucket - 1) * {_KEYS}
    prune(KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], KEYS[key + 4])
    local reserved = redis.call('HGET', KEYS[key + 4], id)
    if reserved then
        redis.call('HDEL', KEYS[key + 4], id)
        redis.call('ZREM', KEYS[key + 3], id)
        if redis.call('HEXISTS', KEYS[key + 2], id) == 1 then
            redis.call('HSET', KEYS[key + 2], id, tokens)
            redis.call('HINCRBY', KEYS[key + 2], 'sum', tokens - reserved)
        end
        for period = 1, 2 do
            if ARGV[3 + (bucket - 1) * 2 + period] == '1' then
                redis.call('INCRBY', KEYS[key + 4 + period], tokens - reserved)
            end
        end
    end
end
"""


class RedisLimiter:
    """`Limiter`. A turn that ends on another day than it began settles with that day's budget."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._reserve = Script(store, _RESERVE)
        self._settle = Script(store, _SETTLE)

    async def reserve(self, wanted: Reservation, now: float) -> Verdict:
        now_ms = int(now * 1000)
        _, _, day_left, month_left = periods(now)
        limits = [each for bucket in wanted.buckets for each in _limits(bucket)]
        refused, by, again, stands = await self._reserve(
            self._keys(wanted, now),
            now_ms,
            wanted.id,
            wanted.tokens,
            now_ms + int(wanted.seconds * 1000),
            int(day_left * 1000),
            int(month_left * 1000),
            *limits,
        )
        return verdict(wanted, refused, by, again / 1000, stands)

    async def settle(self, used: Reservation, now: float) -> None:
        budgets = [
            int(bool(each))
            for bucket in used.buckets
            for each in (bucket.tokens_per_day, bucket.tokens_per_month)
        ]
        keys = self._keys(used, now)
        await self._settle(keys, int(now * 1000), used.id, used.tokens, *budgets)

    def _keys(self, wanted: Reservation, now: float) -> list[str]:
        day, month, _, _ = periods(now)
        tag = f"{{{wanted.organisation}}}"
        kinds = ("times", "tokens", "running", "reserved", day, month)
        return [
            self._store.key("limits", tag, bucket.name, kind)
            for bucket in wanted.buckets
            for kind in kinds
        ]


def _limits(bucket: Bucket) -> Sequence[int]:
    return (
        bucket.requests_per_minute,
        bucket.tokens_per_minute,
        bucket.turns,
        bucket.tokens_per_day,
        bucket.tokens_per_month,
    )
