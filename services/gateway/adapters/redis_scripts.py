"""What happens in Redis at once, in Lua; KEYS are a turn's hash, its events and its notes.

A writer's epoch is compared in the same script that writes: whoever slept through the end of its
lease writes nothing.
"""

# What scripts answer when they have written nothing. From GAP downwards: GAP minus the number of
# events that there are.
LOST, FORGOTTEN, GAP = -1, -2, -3

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# ARGV[1] is the writer's epoch.
FENCE = f"""
local turn = redis.call('HMGET', KEYS[1], 'epoch', 'complete')
if not turn[1] then return {FORGOTTEN} end
if turn[2] or turn[1] ~= ARGV[1] then return {LOST} end
"""

_KEEP = """
local function keep(milliseconds)
    for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, milliseconds) end
end
"""


def _free(first: int) -> str:
    """Whether somebody else may have a turn: its lease is over, or its gateway has gone.

    From ARGV[first] on stand the gateways that have gone.
    """
    return f"""
local function free(turn)
    if tonumber(turn['until']) <= now then return true end
    for place = {first}, #ARGV do
        if ARGV[place] == turn['gateway'] then return true end
    end
    return false
end
"""


_TURN = """
local turn = {}
local names = {'epoch', 'complete', 'until', 'gateway', 'claim'}
for place, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
    turn[names[place]] = value
end
"""

# ARGV: organisation, project, person, gateway, lease and time to keep in milliseconds, the claim's
# own name, gateways that have gone. Says also whose it was. A claim whose answer came too late is
# sent again: it has been granted already.
CLAIM = f"""
{_NOW} {_KEEP} {_TURN} {_free(8)}
local noted = redis.call('LLEN', KEYS[3])
if turn['claim'] == ARGV[7] then
    return {{tonumber(turn['epoch']), tonumber(turn['until']), noted, ''}}
end
if turn['complete'] or (turn['epoch'] and not free(turn)) then return {{{LOST}, 0, 0, ''}} end
if not turn['epoch'] then
    redis.call('HSET', KEYS[1], 'organisation', ARGV[1], 'project', ARGV[2], 'person', ARGV[3])
end
local leased = now + ARGV[5]
redis.call('HSET', KEYS[1], 'until', leased, 'gateway', ARGV[4])
redis.call('HSET', KEYS[1], 'claim', ARGV[7])
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
keep(ARGV[6])
return {{epoch, leased, noted, turn['gateway'] or ''}}
"""

# KEYS: the turn. ARGV: whose it is said to be, gateways that have gone. Says whether that is so,
# and whether somebody else may have it.
STANDING = f"""
{_NOW} {_TURN} {_free(2)}
if not turn['epoch'] or turn['complete'] or turn['gateway'] ~= ARGV[1] then return {{0, 0}} end
return {{1, free(turn) and 1 or 0}}
"""

# ARGV: epoch, lease and time to keep in milliseconds.
RENEW = f"""
{FENCE} {_NOW} {_KEEP}
redis.call('HSET', KEYS[1], 'until', now + ARGV[2])
keep(ARGV[3])
return now + ARGV[2]
"""

# ARGV: epoch, number (-1: notes alone), event, channel, time to keep in milliseconds, how many
# notes there are, notes.
APPEND = f"""
{FENCE}
local length = redis.call('LLEN', KEYS[2])
local number = tonumber(ARGV[2])
if number > length then return {GAP} - length end
local noted = redis.call('LLEN', KEYS[3])
for place = 7 + noted - ARGV[6], #ARGV do redis.call('RPUSH', KEYS[3], ARGV[place]) end
if noted == 0 and #ARGV >= 7 then redis.call('PEXPIRE', KEYS[3], ARGV[5]) end
if number < length then return tonumber(redis.call('HGET', KEYS[1], 'bytes') or 0) end
redis.call('RPUSH', KEYS[2], ARGV[3])
if number == 0 then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
redis.call('PUBLISH', ARGV[4], '')
return redis.call('HINCRBY', KEYS[1], 'bytes', string.len(ARGV[3]))
"""

# ARGV: epoch, time to keep in milliseconds, channel.
FINISH = f"""
{FENCE} {_KEEP}
redis.call('HSET', KEYS[1], 'complete', 1)
keep(ARGV[2])
redis.call('PUBLISH', ARGV[3], '')
return 1
"""

# ARGV: from and to which event. Says whether the turn is known, whether it is complete, and events.
PAGE = """
local turn = redis.call('HMGET', KEYS[1], 'epoch', 'complete')
return {
    turn[1] and 1 or 0, turn[2] and 1 or 0, redis.call('LRANGE', KEYS[2], ARGV[1], ARGV[2])
}
"""

# Says whether the turn is known, and its first event and the last two.
ENDS = """
local events = redis.call('LRANGE', KEYS[2], 0, 0)
local rest = math.min(redis.call('LLEN', KEYS[2]) - 1, 2)
if rest > 0 then
    for _, event in ipairs(redis.call('LRANGE', KEYS[2], -rest, -1)) do
        table.insert(events, event)
    end
end
return {redis.call('EXISTS', KEYS[1]), events}
"""

# KEYS: the leases. ARGV: how many at most. Which turns' leases have run out.
OVERDUE = f"""
{_NOW}
return redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
"""
